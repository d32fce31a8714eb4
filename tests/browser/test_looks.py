"""The gallery for everybody: keyboards, screen readers, small screens, dark rooms, large screens, strict policies."""

from __future__ import annotations

import httpx
import pytest
from playwright.async_api import Page, expect

from axe import audit
from hubs import OwnHub
from lanes import LANES
from web import bearer
from window import WATCH, NewPerson, OpenWindow, Start, until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


async def react_over_http(hub: OwnHub, actor: str, kind: str, value: int) -> None:
    """A reaction to the article from somewhere else."""
    said = {"item": "demo:article", "kind": kind, "value": value}
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        answer = await web.post("/v1/reactions", json=said, headers=bearer(hub, actor))
        assert answer.status_code == 200, answer.text


async def wake_all(page: Page) -> None:
    """Scroll through the page, so that all its elements have come near the viewport, and back."""
    for part in ("#video", "#cards", "#themes", "#screens", "#article"):
        await page.locator(part).scroll_into_view_if_needed()
        await expect(page.locator(f"{part} button[aria-disabled]").first).not_to_be_in_viewport()


async def test_everything_works_from_the_keyboard(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    keys = ada.page.keyboard
    await keys.press("Tab")
    await expect(ada.page.get_by_role("link", name="Skip to the examples")).to_be_focused()
    await keys.press("Enter")
    like = ada.button("article", "like")
    for _ in range(9):
        await keys.press("Tab")
        if await like.evaluate("button => button.getRootNode().activeElement === button"):
            break
    await expect(like).to_be_focused()
    await keys.press("Space")
    await ada.shows("article", "like", 1, mine=True)
    slider = ada.page.get_by_role("slider", name="Moment of the film")
    await slider.focus()
    await keys.press("ArrowRight")
    await expect(slider).to_have_attribute("aria-valuetext", "second 1 of 24")
    await keys.press("Tab")
    await expect(ada.page.get_by_role("button", name="Clap this moment")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_and_all_text_stands_out(scheme: str, hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub, color_scheme=scheme, reduced_motion="reduce")
    await wake_all(ada.page)
    await ada.click("article", "like")
    await ada.page.mouse.move(0, 0)
    assert await audit(ada.page) == []


async def test_a_narrow_phone_shows_all_of_it_with_targets_for_thumbs(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub, **PHONE)
    assert await ada.page.evaluate("document.documentElement.scrollWidth") == 360
    boxes = [await button.bounding_box() for button in await ada.page.get_by_role("button").all()]
    assert len(boxes) > 80
    assert [box for box in boxes if box is None or min(box["width"], box["height"]) < 44] == []
    await ada.page.locator("#video .run").scroll_into_view_if_needed()
    await ada.button("video", "like").tap()
    await ada.shows("video", "like", 1, mine=True)
    assert await ada.watched("shifts") == []


@pytest.mark.parametrize(
    ("path", "count"),
    [("/", ".hero [part=count]"), ("/demo/wall.html", ".count"), ("/demo/overlay.html", ".count")],
    ids=["gallery", "wall", "overlay"],
)
async def test_at_a_zoom_of_200_percent_all_is_there_and_nothing_is_cut_off(
    path: str, count: str, hub: OwnHub, person: NewPerson
) -> None:
    """As Chromium zooms: half as many CSS pixels each way, of twice the size."""
    page = await (await person(viewport={"width": 640, "height": 400}, device_scale_factor=2)).new_page()
    await page.goto(f"{hub.http}{path}")
    await expect(page.locator(count).first).to_have_text("0")
    assert await page.evaluate("[devicePixelRatio, innerWidth, document.documentElement.scrollWidth]") == [2, 640, 640]
    cut_off = "all => all.filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.outerHTML)"
    assert await page.locator("h1, h2, p, a, b, .count").evaluate_all(cut_off) == []


async def test_numbers_move_without_moving_anything_else(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    await react_over_http(hub, "u:1", "clap", 50)
    await react_over_http(hub, "u:1", "like", 1)
    await ada.shows("article", "clap", 50)
    await ada.shows("article", "like", 1)
    await ada.page.evaluate("new Promise(requestAnimationFrame)")
    assert await ada.watched("shifts") == []


async def test_fifty_cards_and_all_else_share_one_socket(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    await wake_all(ada.page)
    await expect(ada.page.locator(".cards tally-button")).to_have_count(50)
    last = ada.page.locator(".cards li").last
    await last.scroll_into_view_if_needed()
    await last.locator("button").click()
    await expect(last.locator("[part=count]")).to_have_text("1")
    assert ada.sockets == 1


async def test_a_snippet_can_be_taken_along_with_the_hubs_address(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub, permissions=["clipboard-read", "clipboard-write"])
    await ada.page.get_by_role("button", name="Copy the snippet: two lines for any page").click()
    await expect(ada.page.locator("#said")).to_have_text("Copied")
    assert await ada.page.evaluate("navigator.clipboard.readText()") == (
        f'<script type="module" src="{hub.http}/client/widget.js"></script>\n'
        '<tally-reactions item="demo:page" kinds="like,love,clap"></tally-reactions>'
    )


async def test_the_policy_stops_what_the_page_does_not_need(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    await ada.page.evaluate("document.body.setAttribute('style', 'color: red')")
    await ada.page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")
    await until(ada.page, "watched.violations.length >= 2")
    assert set(await ada.watched("violations")) == {"style-src-attr", "connect-src"}
    await ada.page.evaluate("watched.violations.length = 0")
    ada.errors[:] = [error for error in ada.errors if "Content Security Policy" not in error]


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
async def test_the_film_plays_and_stops_and_sways_only_for_those_who_like_motion(
    motion: str, moves: bool, hub: OwnHub, window: OpenWindow
) -> None:
    ada = await window(hub, reduced_motion=motion)
    await ada.page.get_by_role("button", name="Play the film").click()
    await ada.page.get_by_role("slider", name="Moment of the film").fill("12")
    await expect(ada.page.locator(".film .night").first).to_have_css("opacity", "1")
    await ada.page.get_by_role("button", name="Love this moment").click()
    script = "float => float.getAnimations()[0].effect.getKeyframes().some(({ transform }) => transform !== 'none')"
    assert await ada.page.locator(".stage .float").evaluate(script) is moves
    assert (await ada.page.locator(".waves").evaluate("waves => waves.getAnimations().length") > 0) is moves
    await ada.page.get_by_role("button", name="Stop the film").click()
    await expect(ada.page.locator(".film")).not_to_have_class("film playing")


async def test_the_wall_shows_large_numbers_and_what_just_moved(hub: OwnHub, person: NewPerson) -> None:
    page = await (await person(viewport={"width": 1920, "height": 1080}, reduced_motion="reduce")).new_page()
    await page.add_init_script(WATCH)
    await page.goto(f"{hub.http}/demo/wall.html?item=demo:article,demo:video&kinds=clap,like,nothing&title=Our day")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Our day")
    await expect(page.locator(".tile:visible .count")).to_have_text(["0", "0"])
    for who, claps, all_claps in (("u:1", 50, "50"), ("u:2", 7, "57")):  # one after the other: no frame has both
        await react_over_http(hub, who, "clap", claps)
        await expect(page.locator(".count").first).to_have_text(all_claps)
    await expect(page.locator(".moves li").first).to_have_text("👏article+7")
    await expect(page.locator(".tile:visible")).to_have_count(2)
    assert await page.evaluate("document.documentElement.scrollHeight") <= 1080
    assert await audit(page) == []
    assert [await page.evaluate(f"watched.{what}") for what in ("violations", "shifts")] == [[], []]


async def test_the_overlay_has_nothing_behind_it_and_is_as_large_as_it_is_told(hub: OwnHub, person: NewPerson) -> None:
    page = await (await person(color_scheme="dark")).new_page()
    await page.add_init_script(WATCH)
    await page.goto(f"{hub.http}/demo/overlay.html?item=demo:article&kinds=love,clap&size=96")
    await react_over_http(hub, "u:1", "love", 1)
    await expect(page.locator(".count")).to_have_text(["1", "0"])
    await expect(page.locator(".count").first).to_have_css("font-size", "96px")
    for part in ("html", "body", "main"):
        await expect(page.locator(part)).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    assert await audit(page) == []
    assert [await page.evaluate(f"watched.{what}") for what in ("violations", "shifts")] == [[], []]


async def test_the_page_works_below_a_path(start: Start, window: OpenWindow) -> None:
    lane = LANES["mounted"]
    hub = start(command=lane.command, prefix=lane.prefix)
    ada, ben = await window(hub), await window(hub)
    await ada.click("article", "like")
    await ben.shows("article", "like", 1, mine=False)
