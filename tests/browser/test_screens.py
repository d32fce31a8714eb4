"""Pictures of the demo in build/screens, to be looked at before each release."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from playwright.async_api import Page, ViewportSize, expect

from hubs import OwnHub
from web import bearer
from window import NewPerson, OpenWindow

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SCREENS = Path(__file__).parents[2] / "build" / "screens"
SAID = {"demo:page": ("like", "love"), "demo:article": ("like", "love", "dislike"), "demo:themes": ("love",)}
CLAPS = {"demo:page": 50, "demo:talk": 50, "demo:article": 37, "demo:film@3": 9, "demo:film@4": 21, "demo:film@5": 4}
DESK, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
WALL, STREAM = ViewportSize(width=1920, height=1080), ViewportSize(width=960, height=240)
COLOUR = """
async (png) => {
  const bitmap = await createImageBitmap(await (await fetch("data:image/png;base64," + png)).blob());
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data];
}
"""


class Colour(NamedTuple):
    """What a picture looks like from far away: 0 to 255, black to white, and nothing to solid."""

    light: float
    solid: float


async def take(page: Page, name: str, *, full: bool = True) -> Colour:
    """Take a picture of a page, with nothing of the browser's own behind it."""
    path = SCREENS / f"{name}.png"
    png = await page.screenshot(path=path, full_page=full, omit_background=True, animations="disabled")
    blank = await page.context.new_page()
    red, green, blue, solid = await blank.evaluate(COLOUR, base64.b64encode(png).decode())
    await blank.close()
    return Colour((red + green + blue) / 3, solid)


async def people_react(hub: OwnHub) -> None:
    """Let the numbers be some."""
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        for number in range(12):
            for item, kinds in SAID.items():
                for kind in kinds[: 1 + number % 3]:
                    said = {"item": item, "kind": kind, "value": 1}
                    (await web.post("/v1/reactions", json=said, headers=bearer(hub, f"u:{number}"))).raise_for_status()
        for number in range(4):
            for item, value in CLAPS.items():
                said = {"item": item, "kind": "clap", "value": value}
                (await web.post("/v1/reactions", json=said, headers=bearer(hub, f"u:{number}"))).raise_for_status()


async def test_the_gallery_has_its_pictures_taken_in_light_and_dark_and_on_a_phone(
    hub: OwnHub, window: OpenWindow
) -> None:
    await people_react(hub)
    ada = await window(hub, viewport=DESK, reduced_motion="reduce")
    await ada.click("article", "love")
    await ada.page.locator("#clap").scroll_into_view_if_needed()
    for part in ("#video", "#cards", "#themes", "#screens"):
        await ada.page.locator(part).scroll_into_view_if_needed()
    await expect(ada.page.locator("#themes [part=count]").first).not_to_have_text("–")
    await ada.page.evaluate("scrollTo(0, 0)")
    assert (await take(ada.page, "gallery-light")).light > 200
    await ada.page.emulate_media(color_scheme="dark")
    assert (await take(ada.page, "gallery-dark")).light < 90
    await ada.page.set_viewport_size(PHONE)
    assert (await take(ada.page, "phone-dark")).light < 90
    await ada.page.emulate_media(color_scheme="light")
    assert (await take(ada.page, "phone-light")).light > 200


async def test_the_screens_have_their_pictures_taken_and_the_overlay_lets_through_what_is_behind(
    hub: OwnHub, person: NewPerson
) -> None:
    await people_react(hub)
    page = await (await person(viewport=WALL, reduced_motion="reduce")).new_page()
    await page.goto(f"{hub.http}/demo/wall.html")
    await expect(page.locator(".count").first).not_to_have_text("–")
    said = {"item": "demo:video", "kind": "like", "value": 1}
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        await web.post("/v1/reactions", json=said, headers=bearer(hub, "u:1"))
    await expect(page.locator(".moves li").first).to_have_text("👍video+1")
    assert (await take(page, "wall")).light < 60
    await page.set_viewport_size(STREAM)
    await page.goto(f"{hub.http}/demo/overlay.html")
    await expect(page.locator(".count").first).not_to_have_text("–")
    assert (await take(page, "overlay")).solid < 100


async def test_outages_have_their_pictures_taken(hub: OwnHub, person: NewPerson) -> None:
    await people_react(hub)
    context = await person(viewport=DESK, reduced_motion="reduce")
    pages = {name: await context.new_page() for name in ("index", "wall", "overlay")}
    for name, page in pages.items():
        await page.goto(f"{hub.http}/demo/{name}.html" if name != "index" else hub.http)
        await expect(page.locator("html")).to_have_attribute("data-state", "live")
        await expect(page.locator("[part=count], .count").first).not_to_have_text("–")
    await context.set_offline(True)
    await expect(pages["index"].locator(".state .word")).to_have_text("offline")
    await take(pages["index"], "offline-gallery", full=False)
    await context.set_offline(False)
    hub.kill()
    for name, page in pages.items():
        await expect(page.locator("html")).to_have_attribute("data-state", "waiting")
        await take(page, f"reconnecting-{name}", full=False)
