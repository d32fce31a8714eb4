"""Where a Redis is: the URLs that `--store` takes for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from tallycast.errors import ConfigError

Form = Literal["single", "sentinel", "cluster"]

SCHEMES: dict[str, tuple[Form, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
DEFAULT_PORTS: dict[Form, int] = {"single": 6379, "sentinel": 26379, "cluster": 6379}
EXAMPLES: dict[Form, str] = {
    "single": "redis://user:password@host:6379/0",
    "sentinel": "redis+sentinel://host1:26379,host2:26379,host3:26379/mymaster",
    "cluster": "redis+cluster://host1:6379,host2:6379",
}

SENTINEL_OPTIONS = {"sentinel_username": "sentinel_user", "sentinel_password": "sentinel_password"}

Address = tuple[str, int]  # host, port

_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A parsed URL of a Redis.

    `form` says what stands at `nodes`: one server, sentinels that know the master called `service`, or some nodes of a
    cluster. `user` and `password` are those of the servers that hold data, `sentinel_user` and `sentinel_password`
    those of the sentinels; empty where there are none. `tls` holds for all of them.
    """

    form: Form
    nodes: tuple[Address, ...]
    service: str = ""
    database: int = 0
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    sentinel_user: str = ""
    sentinel_password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """The URL without users and passwords, for logs and errors."""
        scheme = ("rediss" if self.tls else "redis") + ("" if self.form == "single" else f"+{self.form}")
        places = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes)
        rest = f"/{self.service}" if self.service else ""
        return f"{scheme}://{places}{rest}" + (f"/{self.database}" if self.database else "")


def is_redis(url: str) -> bool:
    """Whether `url` is one that parse_redis_url() is for, right or wrong."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES


def parse_redis_url(url: str) -> RedisUrl:
    """The parts of `redis://`, `redis+sentinel://`, `redis+cluster://` and, with TLS, `rediss…://` URLs.

    `redis://host:port/database`, `redis+sentinel://host:port,…/service/database`, `redis+cluster://host:port,…`; before
    the hosts may stand `user:password@`, and after the path, for sentinels that want them,
    `?sentinel_username=…&sentinel_password=…`; all percent-encoded. Raises ConfigError, which repeats nothing secret.
    """
    form, tls = SCHEMES[url.partition("://")[0].lower()]

    def wrong(why: str) -> ConfigError:
        return ConfigError(f"store: {why}; expected {EXAMPLES[form]}")

    try:
        parts = urlsplit(url)
    except ValueError:
        raise wrong("not a URL") from None
    if parts.fragment or not url.isprintable() or " " in url:
        raise wrong("a Redis URL has no #, spaces or control characters: percent-encode the password")
    options = _options(parts.query, form, wrong)
    credentials, _, places = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    nodes = tuple(_address(place, DEFAULT_PORTS[form], wrong) for place in places.split(","))
    if form == "single" and len(nodes) > 1:
        raise wrong("one host only; several are for redis+sentinel:// and redis+cluster://")
    service, database = _path(parts, form, wrong)
    return RedisUrl(form, nodes, service, database, tls, unquote(user), unquote(password), **options)


def _options(query: str, form: Form, wrong: Callable[[str], ConfigError]) -> dict[str, str]:
    """What the query says, by the names of RedisUrl's fields."""
    options: dict[str, str] = {}
    for option in query.split("&") if query else ():
        name, _, value = option.partition("=")
        if form != "sentinel" or name not in SENTINEL_OPTIONS:
            raise wrong("after ? may stand sentinel_username and sentinel_password, of redis+sentinel:// alone")
        options[SENTINEL_OPTIONS[name]] = unquote(value)
    return options


def _path(parts: SplitResult, form: Form, wrong: Callable[[str], ConfigError]) -> tuple[str, int]:
    """Service and database that the path names."""
    segments = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    service = ""
    if form == "sentinel":
        service = segments.pop(0) if segments else ""
        if not _SERVICE.fullmatch(service):
            raise wrong("the path must name the service that the sentinels watch")
    if not segments:
        return service, 0
    if form == "cluster":
        raise wrong("a cluster has no databases and its URL no path")
    if len(segments) > 1 or not re.fullmatch(r"[0-9]{1,5}", segments[0]):
        raise wrong("the database is a number")
    return service, int(segments[0])


def _address(place: str, default_port: int, wrong: Callable[[str], ConfigError]) -> Address:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?", place)
    if found is None:
        raise wrong("a host is missing or is none")
    port = int(found[3]) if found[3] else default_port
    if not 0 < port < 65536:
        raise wrong("a port is from 1 to 65535")
    return found[1] or found[2], port
