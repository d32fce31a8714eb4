"""A count as a picture: what stands in it, what it refuses, and how long it may be kept."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from asgi import Inside, inside
from hubs import token
from tallycast.kinds import parse
from tallycast.routes import badge
from web import check_problem

SVG = "{http://www.w3.org/2000/svg}"
HARD_LABEL = '<b>"it\'s"&amp; é 日本 👍'


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path) as hub:
        yield hub


async def drawn(hub: Inside, item: str = "post:1", **query: str) -> ElementTree.Element:
    """The root of a badge."""
    answer = await hub.web.get(f"/v1/items/{quote(item, safe='')}/badge.svg", params={"kind": "like", **query})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/svg+xml"
    return ElementTree.fromstring(answer.content)


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


async def test_it_shows_the_label_and_the_number(hub: Inside) -> None:
    assert texts(await drawn(hub)) == ["Like", "0"]
    await hub.react("post:1")
    root = await drawn(hub)
    assert texts(root) == ["Like", "1"]
    assert (root.get("role"), root.get("aria-label")) == ("img", "Like: 1")
    assert root.findtext(f"{SVG}title") == "Like: 1"


@pytest.mark.parametrize(
    "item",
    [
        "https://example.com/a//b/",
        "100%25",
        "a%2Fb",
        "a+b=c,d@e~f",
        "/",
        "a/badge.svg",
        "badge.svg/reactions",
        "x" * 200,
    ],
)
async def test_every_item_has_one(hub: Inside, item: str) -> None:
    await hub.react(item, 7, kind="clap")
    assert texts(await drawn(hub, item, kind="clap")) == ["Clap", "7"]


def test_of_a_rating_it_shows_the_average_and_how_many_rated() -> None:
    stars = parse('[stars]\nrule = "rating"\n', "kinds of this test").shown["stars"]
    assert badge.number(stars, {}) == ("–", "not rated yet")
    assert badge.number(stars, {"stars-5": 1}) == ("5.0 (1)", "5.0 of 5, 1 ratings")
    assert badge.number(stars, {"stars-4": 1200, "stars-1": 300}) == ("3.4 (1.5K)", "3.4 of 5, 1,500 ratings")


async def test_a_label_is_text_and_nothing_else(hub: Inside) -> None:
    root = await drawn(hub, label=HARD_LABEL)
    assert texts(root) == [HARD_LABEL, "0"]
    assert root.get("aria-label") == f"{HARD_LABEL}: 0"
    assert {element.tag for element in root.iter()} == {
        SVG + name for name in ("svg", "title", "style", "rect", "path", "text")
    }


async def test_without_a_label_the_number_stands_alone_and_is_still_named(hub: Inside) -> None:
    root = await drawn(hub, label="")
    assert texts(root) == ["0"]
    assert root.get("aria-label") == "Like: 0"


@pytest.mark.parametrize("label", ["", "Like", HARD_LABEL, "i" * 64, "W" * 64])
async def test_texts_stay_within_the_picture_and_do_not_touch(hub: Inside, label: str) -> None:
    root = await drawn(hub, label=label)
    end = 0.0
    for text in root.iter(f"{SVG}text"):
        begin = float(text.get("x", "nan"))
        assert begin >= end + badge.PADDING - 0.01
        end = begin + float(text.get("textLength", "nan"))
    assert float(root.get("width", "nan")) == pytest.approx(end + badge.PADDING)


def test_a_text_is_about_as_wide_as_what_is_seen_of_it() -> None:
    assert badge.text_width("") == 0
    assert badge.text_width("i") < badge.text_width("a") < badge.text_width("W") < badge.text_width("日")
    assert badge.text_width("e\u0301") == badge.text_width("e")
    assert badge.text_width("👍\ufe0f\u200d") == badge.text_width("👍")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1K"),
        (1049, "1K"),
        (1050, "1.1K"),
        (9949, "9.9K"),
        (9950, "10K"),
        (12_499, "12K"),
        (999_499, "999K"),
        (999_500, "1M"),
        (1_500_000, "1.5M"),
        (2**31, "2.1B"),
        (2**53 - 1, "9007T"),
    ],
)
def test_numbers_are_short(number: int, text: str) -> None:
    assert badge.compact(number) == text


async def test_the_full_number_is_its_name(hub: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = await hub.service.hub.read(["post:1"], None)

    async def many(*_: object) -> object:
        return [(snapshot._replace(counts={"like": 1_234_567}), mine) for snapshot, mine in snapshots]

    monkeypatch.setattr(hub.service.hub, "read", many)
    root = await drawn(hub)
    assert (texts(root)[1], root.get("aria-label")) == ("1.2M", "Like: 1,234,567")


def luminance(colour: str) -> float:
    """Of #rgb or #rrggbb, by WCAG 2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colours", [badge.LIGHT, badge.DARK])
def test_both_themes_can_be_read(colours: str) -> None:
    light_of = {name: luminance(colour) for name, colour in re.findall(r"\.(\w)\{fill:(#\w+)\}", colours)}
    for text, ground in (("t", "a"), ("n", "b")):
        dark, light = sorted((light_of[text], light_of[ground]))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


async def test_a_theme_is_chosen_or_goes_by_the_reader(hub: Inside) -> None:
    style = {theme: (await drawn(hub, theme=theme)).findtext(f"{SVG}style") or "" for theme in badge.STYLES}
    assert "prefers-color-scheme" not in style["light"] + style["dark"]
    assert badge.LIGHT in style["auto"].partition("@media(prefers-color-scheme:dark)")[0]
    assert badge.DARK in style["auto"].partition("@media(prefers-color-scheme:dark)")[2]


async def test_it_may_be_kept_for_a_moment_and_asked_for_again(hub: Inside) -> None:
    first = await hub.web.get("/v1/items/a/badge.svg?kind=like")
    assert first.headers["cache-control"].startswith("public, max-age=30, stale-while-revalidate=")
    assert first.headers["vary"] == "Authorization, Origin"
    assert first.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "set-cookie" not in first.headers
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[\w+/]+='", first.headers["content-security-policy"])
    known = {"If-None-Match": first.headers["etag"]}
    again = await hub.web.get("/v1/items/a/badge.svg?kind=like", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert (await hub.web.get("/v1/items/a/badge.svg?kind=love", headers=known)).status_code == 200
    await hub.react("a")
    moved = await hub.web.get("/v1/items/a/badge.svg?kind=like", headers=known)
    assert moved.status_code == 200


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("a%20b/badge.svg?kind=like", "bad_item"),
        ("%C3%A9/badge.svg?kind=like", "bad_item"),
        ("%ff/badge.svg?kind=like", "bad_item"),
        ("/badge.svg?kind=like", "bad_item"),
        ("x" * 201 + "/badge.svg?kind=like", "bad_item"),
        ("a/badge.svg", "unknown_kind"),
        ("a/badge.svg?kind=", "unknown_kind"),
        ("a/badge.svg?kind=Like", "unknown_kind"),
        ("a/badge.svg?kind=<svg>", "unknown_kind"),
        ("a/badge.svg?kind=like&theme=blue", "bad_request"),
        ("a/badge.svg?kind=like&label=" + "x" * 65, "bad_request"),
        ("a/badge.svg?kind=like&label=a%00b", "bad_request"),
        ("a/badge.svg?kind=like&label=a%0Ab", "bad_request"),
        ("a/badge.svg?kind=like&label=%EF%BF%BF", "bad_request"),
    ],
)
async def test_bad_input_is_a_problem(hub: Inside, target: str, code: str) -> None:
    check_problem(await hub.web.get(f"/v1/items/{target}"), 400, code)


async def test_there_is_nothing_beside_it(hub: Inside) -> None:
    for path in ("/v1/items/a", "/v1/items/a/badge", "/v1/items/a/badge.png", "/v1/items/badge.svg"):
        check_problem(await hub.web.get(path), 404, "not_found")
    check_problem(await hub.web.post("/v1/items/a/badge.svg"), 405, "method_not_allowed")


async def test_where_viewing_needs_a_token_so_does_it(tmp_path: Path) -> None:
    async with inside(tmp_path, viewing="token") as hub:
        target = "/v1/items/post:1/badge.svg?kind=like"
        check_problem(await hub.web.get(target), 401, "unauthenticated")
        answer = await hub.web.get(target, headers={"Authorization": f"Bearer {token('u:1')}"})
        assert answer.status_code == 200
        assert answer.headers["cache-control"].startswith("private,")
        scoped = {"Authorization": f"Bearer {token('u:1', items=['post:2'])}"}
        check_problem(await hub.web.get(target, headers=scoped), 403, "forbidden")
