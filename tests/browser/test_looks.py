"""The demo page for everybody: keyboards, screen readers, small screens, dark rooms, strict policies."""

from __future__ import annotations

import httpx
import pytest
from playwright.async_api import expect

from hubs import OwnHub
from lanes import LANES
from web import bearer
from window import OpenWindow, Start

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CONTRASTS = """
() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = numbers(colour).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if ((numbers(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [...document.querySelectorAll("body *")].filter((element) =>
    element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  return texts.map((element) => {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
    return [element.textContent.trim().slice(0, 30), (a + 0.05) / (b + 0.05)];
  });
}
"""


async def react_over_http(hub: OwnHub, actor: str, kind: str, value: int) -> None:
    """A reaction to the article from somewhere else."""
    said = {"item": "demo:article", "kind": kind, "value": value}
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        answer = await web.post("/v1/reactions", json=said, headers=bearer(hub, actor))
        assert answer.status_code == 200, answer.text


async def test_everything_works_from_the_keyboard(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    keys = ada.page.keyboard
    like, dislike = ada.button("article", "like"), ada.button("article", "dislike")
    for _ in range(5):
        if await like.evaluate("button => button === document.activeElement"):
            break
        await keys.press("Tab")
    await expect(like).to_be_focused()
    assert await like.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    await keys.press("Space")
    await ada.shows("article", "like", 1, mine=True)
    await keys.press("Tab")
    await expect(dislike).to_be_focused()
    await keys.press("Enter")
    await ada.shows("article", "dislike", 1, mine=True)
    await ada.shows("article", "like", 0, mine=False)


async def test_a_large_number_is_short_to_the_eye_and_whole_by_name(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    for number in range(26):
        await react_over_http(hub, f"u:{number}", "clap", 50)
    clap = ada.button("article", "clap")
    await expect(clap).to_have_accessible_name("Clap, 1,300")
    await expect(clap.locator(".count")).to_have_text("1.3K")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_all_text_stands_out_enough_from_what_is_behind_it(scheme: str, hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub, color_scheme=scheme, reduced_motion="reduce")
    await ada.click("article", "like")
    await ada.click("article", "clap")
    await ada.click("video", "share")
    await ada.says("video", "Link copied.")
    await ada.page.mouse.move(0, 0)
    await expect(ada.button("article", "clap").locator(".own")).to_have_text("+1")
    contrasts = await ada.page.evaluate(CONTRASTS)
    assert len(contrasts) > 30
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []


async def test_a_narrow_phone_shows_all_of_it_with_targets_for_thumbs(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert await ada.page.evaluate("document.documentElement.scrollWidth") == 360
    boxes = [await button.bounding_box() for button in await ada.page.get_by_role("button").all()]
    assert len(boxes) == 11
    assert [box for box in boxes if box is None or min(box["width"], box["height"]) < 44] == []
    await ada.button("video", "like").tap()
    await ada.shows("video", "like", 1, mine=True)


async def test_numbers_move_without_moving_anything_else(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    await react_over_http(hub, "u:1", "clap", 50)
    await react_over_http(hub, "u:1", "like", 1)
    await ada.shows("article", "clap", 50)
    await ada.shows("article", "like", 1)
    await ada.page.evaluate("new Promise(requestAnimationFrame)")
    assert await ada.watched("shifts") == []


@pytest.mark.parametrize(("motion", "bumps"), [("reduce", 0), ("no-preference", 1)])
async def test_numbers_bump_only_for_those_who_like_motion(
    motion: str, bumps: int, hub: OwnHub, window: OpenWindow
) -> None:
    ada = await window(hub, reduced_motion=motion)
    await react_over_http(hub, "u:1", "love", 1)
    await ada.shows("article", "love", 1)
    assert await ada.watched("bumps") == bumps


async def test_the_policy_stops_what_the_page_does_not_need(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    await ada.page.evaluate("document.body.setAttribute('style', 'color: red')")
    await ada.page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")
    await ada.page.wait_for_function("watched.violations.length >= 2")
    assert set(await ada.watched("violations")) == {"style-src-attr", "connect-src"}
    await ada.page.evaluate("watched.violations.length = 0")
    ada.errors[:] = [error for error in ada.errors if "Content Security Policy" not in error]


async def test_the_film_plays_and_stops(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub, reduced_motion="reduce")
    await ada.page.get_by_role("button", name="Play the film").click()
    await expect(ada.page.locator(".film .night").first).to_have_css("opacity", "1")
    await ada.page.get_by_role("button", name="Stop the film").click()
    await expect(ada.page.locator(".film .night").first).to_have_css("opacity", "0")


async def test_the_page_works_below_a_path(start: Start, window: OpenWindow) -> None:
    lane = LANES["mounted"]
    hub = start(command=lane.command, prefix=lane.prefix)
    ada, ben = await window(hub), await window(hub)
    await ada.click("article", "like")
    await ben.shows("article", "like", 1, mine=False)
