"""Webhooks: where alerts are sent, what is sent there, and its signature.

Signed as Standard Webhooks want it (https://www.standardwebhooks.com): whoever has the secret can tell that a message
is from this hub, is whole and is new. A Slack-compatible target gets a text, which it can show; its URL is its secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import re
import secrets as random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import orjson

from tallycast.alerts.targets import parse_target
from tallycast.errors import Refused

SPACE = "webhooks"
MOST_WEBHOOKS = 32  # each has a connection of its own at most
MOST_NAME = 64  # characters
SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
LEAST_SECRET_BYTES, MOST_SECRET_BYTES = 24, 64  # the specification's own bounds

Type = Literal["standard", "slack"]
TYPES: tuple[Type, ...] = ("standard", "slack")
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,%d}" % MOST_NAME)


class Webhook(NamedTuple):
    """A target of alerts. `prefix` is that of the key that made it, `made_at` Unix time in seconds.

    `disabled_because` says why the hub disabled it, "" where it did not.
    """

    id: str
    name: str
    url: str
    type: Type
    secret: str
    prefix: str
    made_at: int
    enabled: bool = True
    disabled_because: str = ""

    def public(self) -> dict[str, Any]:
        """What may be shown of it: no secret, and of a Slack-compatible target its host alone."""
        shown = {k: v for k, v in self._asdict().items() if k not in ("secret", "prefix")}
        if self.type == "slack":
            url = parse_target(self.url)
            shown["url"] = f"{url.scheme}://{url.netloc.decode('ascii')}/…"
        return shown


def load_webhook(body: bytes) -> Webhook:
    """A document of the space `webhooks`."""
    return Webhook(**orjson.loads(body))


def dump_webhook(webhook: Webhook) -> bytes:
    """The document of a webhook."""
    return orjson.dumps(webhook._asdict())


def new_webhook(body: Mapping[str, Any], *, prefix: str, now_s: float) -> Webhook:
    """A webhook as its maker describes it; where it goes is checked by Doors. Raises Refused, Barred."""
    type_ = body.get("type", "standard")
    if type_ not in TYPES:
        raise Refused("bad_request", f"type must be one of {', '.join(TYPES)}")
    secret = body.get("secret")
    if secret is None:
        secret = new_secret()
    else:
        key_of(secret)
    url = str(parse_target(body.get("url")))
    return Webhook(new_id("wh"), check_name(body.get("name")), url, type_, secret, prefix, int(now_s))


def new_id(kind: str) -> str:
    """A name that nothing else has."""
    return f"{kind}_{random.token_hex(10)}"


def check_name(name: object) -> str:
    """A name of an alert or a webhook. Raises Refused (`bad_request`)."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Refused("bad_request", f"name must be 1–{MOST_NAME} characters, none of them a control character")
    return name


def check_switch(value: object) -> bool:
    """Whether something is to be enabled. Raises Refused (`bad_request`)."""
    if not isinstance(value, bool):
        raise Refused("bad_request", "enabled must be true or false")
    return value


# The signature


def new_secret() -> str:
    """A secret of a webhook, `whsec_` and 32 random bytes in base64."""
    return SECRET_PREFIX + base64.b64encode(random.token_bytes(SECRET_BYTES)).decode("ascii")


def key_of(secret: object) -> bytes:
    """The key that a secret stands for. Raises Refused (`bad_request`)."""
    if isinstance(secret, str) and secret.startswith(SECRET_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if LEAST_SECRET_BYTES <= len(key) <= MOST_SECRET_BYTES:
            return key
    raise Refused(
        "bad_request",
        f"secret must be {SECRET_PREFIX} and {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes in base64;"
        " without one the hub makes one",
    )


def sign(secret: str, id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers that say of a message what it is, when it was sent and that it is ours."""
    signed = hmac.new(key_of(secret), f"{id}.{at_s}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode('ascii')}",
    }


# What is sent


def message(type_: Type, event: str, at_s: float, data: Mapping[str, Any]) -> bytes:
    """The body of a message: `event` is its type (`alert.count`), `data` has a `text` for people."""
    if type_ == "slack":
        return orjson.dumps({"text": html.escape(data["text"], quote=False)})  # else <!channel> would be a command
    at = datetime.fromtimestamp(int(at_s), UTC).isoformat().replace("+00:00", "Z")
    return orjson.dumps({"type": event, "timestamp": at, "data": data})
