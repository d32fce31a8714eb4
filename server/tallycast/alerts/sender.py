"""Sends one message to one webhook: within bounds of time and size, and only where it may go."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import NamedTuple

import httpx

from tallycast import __version__
from tallycast.alerts.targets import Barred, Doors, parse_target
from tallycast.alerts.webhooks import Webhook, sign

CONNECT_S = 5.0
READ_S = 10.0
WHOLE_S = 15.0
MOST_READ_BYTES = 8192  # of an answer, of which nothing is kept: read so that who answers is not cut off
MOST_ERROR = 200  # characters


_posting = ContextVar("posting", default=False)


def _keep_private(_record: logging.LogRecord) -> bool:
    """A filter for httpx, which logs the URL of each request: a webhook's may be a secret."""
    return not _posting.get()


logging.getLogger("httpx").addFilter(_keep_private)


class Result(NamedTuple):
    """What became of an attempt: the target's status, None without an answer, and then why; how long it took."""

    status: int | None
    error: str
    took_ms: int
    retry_after_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the target has taken it."""
        return self.status is not None and 200 <= self.status < 300


class _Failed(Exception):
    """No answer, and why."""


class Sender:
    """Posts messages. `clock_s` gives Unix time in seconds, which is what receivers compare.

    Certificates are those of certifi, or of SSL_CERT_FILE and SSL_CERT_DIR. Proxies of the environment are not used:
    behind one nobody knows which address is connected to.
    """

    def __init__(self, doors: Doors, *, clock_s: Callable[[], float] = time.time) -> None:
        self._doors = doors
        self._clock_s = clock_s
        self._client: httpx.AsyncClient | None = None

    async def send(self, webhook: Webhook, id: str, body: bytes) -> Result:
        """One attempt, signed now. Never raises: what goes wrong is in the result."""
        begun_s = time.monotonic()
        private = _posting.set(True)
        status, error, retry_after_s = None, "", 0.0
        try:
            async with asyncio.timeout(WHOLE_S):
                answer = await self._post(webhook, id, body)
                try:
                    status, retry_after_s = answer.status_code, _retry_after_s(answer)
                    await _read_a_little(answer)
                finally:
                    await answer.aclose()
        except Barred as barred:
            error = str(barred)
        except _Failed as failed:
            error = str(failed)
        except TimeoutError:
            error = "" if status is not None else f"no answer within {WHOLE_S:g} s"
        except httpx.HTTPError:
            pass  # while reading what is not kept
        finally:
            _posting.reset(private)
        if status is not None and not 200 <= status < 300:
            error = f"answered {status}" + (": redirects are not followed" if 300 <= status < 400 else "")
        return Result(status, error[:MOST_ERROR], int((time.monotonic() - begun_s) * 1000), retry_after_s)

    async def _post(self, webhook: Webhook, id: str, body: bytes) -> httpx.Response:
        """The answer's head, from the first of the target's addresses that takes a connection."""
        url = parse_target(webhook.url)
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": f"Tallycast/{__version__}",
            "Connection": "close",
            **sign(webhook.secret, id, int(self._clock_s()), body),
        }
        extensions = {"sni_hostname": url.raw_host.decode("ascii").strip("[]")}  # what its certificate must be for
        why = "no connection"
        client = await self._open()
        for address in await self._doors.addresses(url):
            request = client.build_request(
                "POST", url.copy_with(host=address), content=body, headers=headers, extensions=extensions
            )
            try:
                return await client.send(request, stream=True)
            except httpx.ConnectTimeout:
                why = f"no connection within {CONNECT_S:g} s"
            except httpx.ConnectError as error:
                why = f"no connection: {_reason(error)}"
            except httpx.TimeoutException:
                raise _Failed(f"no answer within {READ_S:g} s") from None
            except httpx.HTTPError as error:
                raise _Failed(f"no proper answer: {_reason(error)}") from None
        raise _Failed(why)

    async def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            context = await asyncio.to_thread(httpx.create_ssl_context)  # reads all certificates: not on the loop
            if self._client is None:
                self._client = _make_client(context)
        return self._client

    async def close(self) -> None:
        """Let go of what is open."""
        if self._client is not None:
            await self._client.aclose()


def _make_client(context: ssl.SSLContext) -> httpx.AsyncClient:
    # A connection that is kept would be found by its address, and might be another host's.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
    return httpx.AsyncClient(
        verify=context,
        trust_env=False,
        follow_redirects=False,
        limits=limits,
        timeout=timeout,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # they, too, would go by the address
    )


async def _read_a_little(answer: httpx.Response) -> None:
    size_bytes = 0
    async for part in answer.aiter_raw():
        size_bytes += len(part)
        if size_bytes > MOST_READ_BYTES:
            return


def _retry_after_s(answer: httpx.Response) -> float:
    """What a target that is too busy asks for, 0 where it asks for nothing that is a number of seconds."""
    text = answer.headers.get("retry-after", "")
    return float(text) if answer.status_code in (429, 503) and text.isdecimal() and len(text) < 8 else 0.0


def _reason(error: httpx.HTTPError) -> str:
    """What went wrong below HTTP, without the noise of the libraries between."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not good: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or cause}"
        if isinstance(cause, OSError) and cause.errno is not None and cause.errno in errno.errorcode:
            return os.strerror(cause.errno).lower()  # its own text may hold the address
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
