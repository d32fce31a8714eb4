"""One message to one target: signed, checked, within bounds; and whatever a target may do wrong."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import trustme
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from alerting import LOOPBACK
from tallycast.alerts.sender import WHOLE_S, Result, Sender
from tallycast.alerts.targets import Doors
from tallycast.alerts.webhooks import Webhook, key_of, message, new_secret, new_webhook, sign
from tallycast.errors import Refused
from webhook_target import HANG, Target, serving

BODY = message("standard", "alert.count", 1_790_000_000.9, {"text": "Grüße, post:1 has 100 👍"})


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with serving() as target:
        yield target


@pytest.fixture
async def sending() -> AsyncIterator[Sender]:
    sending = Sender(Doors(LOOPBACK))
    yield sending
    await sending.close()


def hook(url: str, **body: str) -> Webhook:
    return new_webhook({"name": "A hook", "url": url, **body}, prefix="", now_s=0)


async def test_a_message_is_what_standard_webhooks_take_for_one(target: Target, sending: Sender) -> None:
    webhook = hook(target.url("/hook?shop=1&x=%20y"))
    result = await sending.send(webhook, "msg_1", BODY)
    assert result.ok
    assert (result.status, result.error) == (204, "")
    (got,) = target.got
    assert got.path == "/hook?shop=1&x=%20y"
    assert got.id == "msg_1"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == f"127.0.0.1:{target.port}"
    assert got.headers["user-agent"].startswith("Tallycast/")
    assert got.body == BODY
    assert Verifier(webhook.secret).verify(got.body, got.headers) == {
        "type": "alert.count",
        "timestamp": "2026-09-21T14:13:20Z",
        "data": {"text": "Grüße, post:1 has 100 👍"},
    }
    with pytest.raises(WebhookVerificationError):
        Verifier(webhook.secret).verify(got.body.replace(b"100", b"101"), got.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(new_secret()).verify(got.body, got.headers)


def test_a_signature_is_that_of_the_specifications_example() -> None:
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    assert sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_is_the_hubs_or_a_good_one_of_the_makers() -> None:
    assert len(key_of(new_secret())) == 32
    assert new_secret() != new_secret()
    own = "whsec_" + "A" * 32
    assert hook("https://a.example/", secret=own).secret == own
    for wrong in ("A" * 32, "whsec_", "whsec_AAAA", "whsec_" + "A" * 96, "whsec_" + "Ä" * 32, "whsec_A A" + "A" * 30):
        with pytest.raises(Refused, match="whsec_"):
            hook("https://a.example/", secret=wrong)


async def test_a_slack_compatible_target_gets_a_text_without_commands(target: Target, sending: Sender) -> None:
    webhook = hook(target.url(), type="slack")
    body = message(webhook.type, "alert.count", 0, {"text": "<!channel> & co", "count": 1})
    assert (await sending.send(webhook, "msg_1", body)).ok
    assert target.got[0].json == {"text": "&lt;!channel&gt; &amp; co"}


def test_what_a_webhook_shows_is_no_secret() -> None:
    standard = hook("https://cms.example/hook?shop=1", secret="whsec_" + "A" * 32)
    assert standard.public()["url"] == "https://cms.example/hook?shop=1"
    slack = hook("https://hooks.slack.com:8443/services/T0/B0/verysecret", type="slack")
    assert slack.public()["url"] == "https://hooks.slack.com:8443/…"
    for webhook in (standard, slack):
        assert "secret" not in webhook.public()
        assert "verysecret" not in str(webhook.public())


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_any_success_is_one(target: Target, sending: Sender, status: int) -> None:
    target.status = status
    assert (await sending.send(hook(target.url()), "msg_1", BODY)).ok


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
async def test_any_other_answer_is_a_failure(target: Target, sending: Sender, status: int) -> None:
    target.status = status
    target.headers = ["Retry-After: 120"]
    result = await sending.send(hook(target.url()), "msg_1", BODY)
    assert not result.ok
    assert (result.status, result.error) == (status, f"answered {status}")
    assert result.retry_after_s == (120 if status in (429, 503) else 0)


async def test_a_redirect_is_not_followed(target: Target, sending: Sender) -> None:
    target.answer = lambda path: 307 if path == "/hook" else 204
    target.headers = [f"Location: {target.url('/elsewhere')}"]
    result = await sending.send(hook(target.url()), "msg_1", BODY)
    assert (result.status, result.ok) == (307, False)
    assert "redirects are not followed" in result.error
    assert [got.path for got in target.got] == ["/hook"]


async def test_a_target_that_hangs_is_left(target: Target, sending: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[asyncio.Timeout] = []
    timeout = asyncio.timeout

    def watched(delay_s: float | None) -> asyncio.Timeout:
        made = timeout(delay_s)
        if delay_s == WHOLE_S:
            begun.append(made)
        return made

    monkeypatch.setattr(asyncio, "timeout", watched)
    target.status = HANG
    attempt = asyncio.create_task(sending.send(hook(target.url()), "msg_1", BODY))
    await target.until(lambda: target.open == 1)
    begun[0].reschedule(asyncio.get_running_loop().time())  # the 15 seconds are over
    result = await attempt
    assert (result.status, result.error) == (None, "no answer within 15 s")
    await target.until(lambda: target.hung_up == 1)


async def test_of_a_long_answer_a_little_is_read(target: Target, sending: Sender) -> None:
    target.status, target.body = 200, b"x" * 5_000_000
    assert (await sending.send(hook(target.url()), "msg_1", BODY)).ok
    await target.until(lambda: target.open == 0)


async def test_no_cookie_of_a_target_is_kept_and_no_url_is_logged(
    target: Target, sending: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    target.headers = ["Set-Cookie: mine=1; Path=/"]
    for path in ("/hush/1", "/hush/2"):
        assert (await sending.send(hook(target.url(path)), "msg_1", BODY)).ok
    assert [got.path for got in target.got] == ["/hush/1", "/hush/2"]
    assert "cookie" not in target.got[1].headers
    assert "hush" not in caplog.text
    logging.getLogger("httpx").info("others may log")
    assert "others may log" in caplog.text


async def test_a_target_that_is_not_there_is_said_to_be_so(target: Target, sending: Sender) -> None:
    async with serving() as gone:
        url = gone.url()
    result = await sending.send(hook(url), "msg_1", BODY)
    assert (result.status, result.ok) == (None, False)
    assert result.error.startswith("no connection: ")
    assert "127.0.0.1" not in result.error


async def test_what_does_not_speak_http_is_no_answer(sending: Sender) -> None:
    async with serving() as target:
        target.answer = lambda _path: 9  # no status of HTTP
        result = await sending.send(hook(target.url()), "msg_1", BODY)
    assert result.status is None
    assert result.error.startswith("no proper answer")


async def test_a_target_inside_is_refused_at_each_delivery_too(target: Target) -> None:
    closed = Sender(Doors(()))
    result = await closed.send(hook(target.url(scheme="https")), "msg_1", BODY)
    assert result.status is None
    assert "TALLYCAST_WEBHOOK_NETWORKS" in result.error
    assert target.got == []
    await closed.close()


def test_a_hub_without_webhooks_does_without_an_http_client() -> None:
    code = "import sys, tallycast.app; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def _trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test's own authority is the one that hubs believe."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    yield


def tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def over_tls(authority: trustme.CA, asked: str, *names: str, found: Sequence[str] = ("127.0.0.1",)) -> Result:
    """A message to https://`asked`, which leads to a target with a certificate for `names`."""
    looked: list[str] = []
    said: list[str | None] = []

    def resolve(host: str, _port: int) -> Sequence[str]:
        looked.append(host)
        return found if len(looked) == 1 else ["10.0.0.1"]

    context = tls(authority, *names)
    context.sni_callback = lambda _socket, name, _context: said.append(name)
    async with serving(context=context) as target:
        sending = Sender(Doors(LOOPBACK, resolve=resolve))
        result = await sending.send(hook(target.url(host=asked, scheme="https")), "msg_1", BODY)
        await sending.close()
        assert looked == [asked]
        if result.ok:
            assert target.got[0].headers["host"] == f"{asked}:{target.port}"
            assert said == [asked]
    return result


async def test_over_tls_the_name_is_asked_for_once_and_the_certificate_must_be_its(authority: trustme.CA) -> None:
    assert (await over_tls(authority, "hooks.example", "hooks.example")).ok
    wrong = await over_tls(authority, "hooks.example", "127.0.0.1", "localhost")
    assert wrong.status is None
    assert wrong.error.startswith("no connection: the certificate is not good: ")


async def test_a_certificate_of_somebody_unknown_is_not_good() -> None:
    stranger = await over_tls(trustme.CA(), "hooks.example", "hooks.example")
    assert stranger.status is None
    assert "the certificate is not good" in stranger.error


async def test_the_next_address_is_tried_when_one_takes_no_connection(authority: trustme.CA) -> None:
    found = ["::1", "127.0.0.1"]  # nobody listens on the first
    assert (await over_tls(authority, "hooks.example", "hooks.example", found=found)).ok
