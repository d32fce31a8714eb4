"""The browser's modules as the hub serves them: small, pinned, and for pages of every origin."""

from __future__ import annotations

import gzip
import os
import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import packing
from asgi import Inside, inside
from tallycast.routes import client, dashboard
from web import check_problem

ROOT = Path(__file__).parent.parent
EMBED = (ROOT / "docs" / "embed.md").read_text("utf-8")
EVERYWHERE = [f"/client/{folder}{name}" for folder in ("", f"{client.RELEASE}/") for name in client.NAMES]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path, origins=("https://good.example",)) as hub:
        yield hub


@pytest.mark.parametrize("path", EVERYWHERE)
async def test_a_page_of_any_origin_may_load_the_modules(hub: Inside, path: str) -> None:
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = await hub.web.get(path, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers


async def test_what_may_change_is_asked_for_again_and_a_release_is_kept(hub: Inside) -> None:
    newest = await hub.web.get("/client/widget.js")
    released = await hub.web.get("/client/1/widget.js")
    assert newest.content == released.content
    assert newest.headers["cache-control"] == "public, max-age=600"
    assert released.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("path", EVERYWHERE)
async def test_gzip_is_the_same_file_with_a_tag_of_its_own(hub: Inside, path: str) -> None:
    plain = await hub.web.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    small = await hub.web.get(path, headers={"Accept-Encoding": "br, gzip"})
    assert small.headers["content-encoding"] == "gzip"
    assert small.content == plain.content  # the client has unpacked it
    assert int(small.headers["content-length"]) < int(plain.headers["content-length"])
    assert small.headers["etag"] != plain.headers["etag"]
    for answer in (plain, small):
        assert answer.headers["vary"] == "Accept-Encoding"
    again = await hub.web.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": small.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "vary", "cache-control", "access-control-allow-origin"):
        assert again.headers[name] == small.headers[name]
    other = await hub.web.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": plain.headers["etag"]})
    assert other.status_code == 200
    head = await hub.web.head(path, headers={"Accept-Encoding": "gzip"})
    assert head.headers["content-length"] == small.headers["content-length"]


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("GZip;q=0.5", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("gzipped", False),
    ],
)
def test_gzip_goes_to_whoever_takes_it(accepted: str, taken: bool) -> None:
    assert client.takes_gzip(accepted) is taken


@pytest.mark.parametrize(
    "path",
    [
        "/client",
        "/client/nothing.js",
        "/client/TALLYCAST.js",
        "/client/tallycast.js.map",
        "/client/package.json",
        "/client/2/tallycast.js",
        "/client/1/nothing.js",
        "/client/1/1/tallycast.js",
        "/client/%2e%2e/tallycast.js",
        "/client/..%2fapp.py",
        "/client/1/..%2f..%2ftallycast.js",
        "/client/%2fetc%2fpasswd",
        "/client/tallycast.js%00",
        "/client/tallycast%2ejs%0a",
    ],
)
async def test_there_is_nothing_else(hub: Inside, path: str) -> None:
    check_problem(await hub.web.get(path), 404, "not_found")


async def test_the_files_are_there_to_be_read(hub: Inside) -> None:
    check_problem(await hub.web.post("/client/tallycast.js"), 405, "method_not_allowed")


@pytest.mark.parametrize("name", client.NAMES)
def test_what_is_served_is_made_of_what_is_written(name: str) -> None:
    served = client.FILES[name].plain
    made = packing.minified(name)
    assert served == made, f"{name} has changed: run PYTHONPATH=tests .venv/bin/python -m packing --docs"


def test_the_modules_weigh_what_was_promised() -> None:
    bytes_of = {name: len(file.gzipped) for name, file in client.FILES.items()}
    assert bytes_of["tallycast.js"] <= 5 * 1024
    assert bytes_of["widget.js"] <= 8 * 1024, "the widget has the SDK in it"
    assert bytes_of["poll.js"] <= 8 * 1024, "and so has the poll"


@pytest.mark.parametrize(
    ("name", "elements"),
    [("widget.js", {"TallyReactions", "TallyButton", "TallyCount"}), ("poll.js", {"TallyPoll"})],
)
def test_elements_are_one_file_that_loads_no_other(name: str, elements: set[str]) -> None:
    """So that one integrity value speaks for all of it, and no second request has to wait for the first."""
    module = client.FILES[name].plain.decode()
    assert re.findall(r"\b(?:import|from)\b(?!\.meta)", module) == []
    (exports,) = re.findall(r"export\{([^}]*)\}", module)
    promised = {each.split(" as ")[-1] for each in exports.split(",")}
    assert promised == {*elements, "connect", "define", "texts"}
    assert client.FILES["tallycast.js"].plain.decode().endswith(" as connect};")


def test_the_integrity_values_of_the_docs_are_those_of_the_files() -> None:
    shown = dict(
        re.findall(rf"^\| `/client/{client.RELEASE}/([\w.]+)` \| `(sha384-[\w+/=]+)` \|$", EMBED, re.MULTILINE)
    )
    served = {name: file.integrity for name, file in client.FILES.items()}
    assert shown == served, (
        f"release {client.RELEASE} of the modules has changed. Once it is out, its files stay as they are: keep"
        " them, and serve the new ones as the next number. As long as it is not out, renew the docs:"
        " PYTHONPATH=tests .venv/bin/python -m packing --docs"
    )


def test_a_wheel_gets_the_files_that_were_packed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["artifacts"] == ["server/tallycast/client/*.gz"]
    packed = {f"{name}.gz" for name in client.NAMES} | {dashboard.packed_path(kind).name for kind in ("js", "css")}
    assert {path.name for path in client.PACKED.iterdir()} == packed


def test_a_checkout_serves_what_is_written_until_it_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SOURCES", tmp_path / "sources")
    monkeypatch.setattr(client, "PACKED", tmp_path / "packed")
    for folder, text in (("packed", gzip.compress(b"packed")), ("sources", b"written")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ("a.js.gz" if folder == "packed" else "a.js")).write_bytes(text)
    os.utime(tmp_path / "packed" / "a.js.gz", (1, 1))
    assert client.read("a.js").plain == b"written"
    os.utime(tmp_path / "sources" / "a.js", (0, 0))
    assert client.read("a.js").plain == b"packed"
    (tmp_path / "sources" / "b.js").touch()  # another, which a.js may hold
    assert client.read("a.js").plain == b"written"
    for source in ("a.js", "b.js"):
        (tmp_path / "sources" / source).unlink()
    assert client.read("a.js").plain == b"packed"
    (tmp_path / "packed" / "a.js.gz").unlink()
    with pytest.raises(OSError, match=r"a\.js"):
        client.read("a.js")
