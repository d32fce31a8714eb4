"""The dashboard in Chromium: signing in, numbers that move, acting on items, files, keyboards, phones, policies.

One hub for all, whose items are each test's own; windows of one person, but where another is needed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Download, expect

from axe import audit
from board import Board, admin, make_key, react
from hubs import SECONDS, OwnHub, defaults, running

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PNG = b"\x89PNG\r\n\x1a\n"
SEEN = "seen:1"
PAGES = (
    "#/wall",
    "#/items",
    "#/items/seen:1",
    "#/compare?a=seen:1",
    "#/polls",
    "#/bursts",
    "#/alerts",
    "#/links",
    "#/audit",
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    with running(tmp_path_factory.mktemp("dashboard"), **defaults(reactions_per_second=0)) as hub:
        yield hub


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """Ada's browser profile."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def key(hub: OwnHub) -> str:
    """Ada's key."""
    return (await make_key(hub))[1]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def ada(context: BrowserContext, hub: OwnHub, key: str) -> AsyncIterator[Board]:
    """Ada's window, signed in. At the end it has seen no error, and no violation of the policy."""
    board = await Board.open(context, hub)
    await board.sign_in(key)
    await board.signed_in()
    yield board
    assert board.errors == []
    assert await board.watched("violations") == []


async def told_by_history(hub: OwnHub, key: str, item: str) -> None:
    """Wait until an item is among those on top: history is written a second later."""
    async with asyncio.timeout(SECONDS):
        while item not in (await admin(hub, key, "GET", "/v1/admin/history/top?kind=like")).text:
            await asyncio.sleep(0.1)


async def test_a_wrong_key_is_told_and_the_right_one_leads_to_the_page_asked_for(
    hub: OwnHub, key: str, chromium: Browser
) -> None:
    context = await chromium.new_context()
    board = await Board.open(context, hub, "#/items")
    await board.sign_in("tk_000000000000_" + "x" * 43)
    await expect(board.page.get_by_role("alert")).to_contain_text("There is no such API key")
    assert await audit(board.page) == []
    await board.sign_in(key)
    await expect(board.heading).to_have_text("Items")
    await board.page.reload()
    await expect(board.heading).to_have_text("Items")
    await board.page.get_by_role("button", name="Sign out").click()
    await expect(board.page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert not await context.cookies()
    assert board.errors == []
    await context.close()


async def test_a_number_and_a_chart_follow_reactions(ada: Board, hub: OwnHub) -> None:
    await react(hub, "moving:1", "clap", 3)
    await ada.go("#/items/moving:1", "moving:1")
    await expect(ada.tile("Clap")).to_have_text("3")
    legend = ada.shown.locator(".legend button", has_text="Clap").locator("b")
    await expect(legend).not_to_have_text("")
    for value in (10, 17):
        before = await ada.drawn()
        await react(hub, "moving:1", "clap", value)
        await expect(ada.tile("Clap")).to_have_text(str(value))
        assert await ada.drawn() != before
    await ada.page.get_by_role("radio", name="Total").check()
    await ada.settled()
    await expect(legend).to_have_text("17")
    await react(hub, "moving:1", "like", actor="u:2")
    await expect(ada.shown.locator(".legend button", has_text="Like").locator("b")).to_have_text("1")


async def test_the_wall_shows_what_is_on_top_and_moves(ada: Board, hub: OwnHub, key: str) -> None:
    await react(hub, "top:1", "like", actor="u:7")
    await told_by_history(hub, key, "top:1")
    await ada.go("#/wall", "Right now")
    row = ada.shown.locator(".ranks li", has_text="top:1").first
    await expect(row.locator(".count")).to_have_text("1")
    pace = ada.tile("Per minute")
    await expect(pace).not_to_have_text("–")
    before = int(await pace.inner_text())
    for actor in range(5):
        await react(hub, "top:1", "like", actor=f"u:{actor}")
    await expect(row.locator(".count")).to_have_text("6")
    await expect(pace).to_have_text(re.compile(rf"^({before + 4}|{before + 5})$"))  # the last minute slides on
    await row.get_by_role("link").click()
    await expect(ada.heading).to_have_text("top:1")


async def test_an_item_is_frozen_thawed_and_deleted(ada: Board, hub: OwnHub) -> None:
    await react(hub, "acts:1", "like")
    await ada.go("#/items/acts:1", "acts:1")
    page = ada.page
    await page.get_by_role("button", name="Freeze").click()
    await page.get_by_label("Reason").fill("comments closed")
    await page.get_by_role("dialog").get_by_role("button", name="Freeze").click()
    await expect(ada.shown.locator(".banner")).to_contain_text("comments closed")
    assert (await react(hub, "acts:1", "like", actor="u:2")).json()["code"] == "frozen"
    await page.get_by_role("button", name="Thaw").click()
    await expect(ada.shown.locator(".banner")).to_be_hidden()
    assert (await react(hub, "acts:1", "like", actor="u:2")).status_code == 200
    await expect(ada.tile("👍 Like")).to_have_text("2")
    await page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Write the item's id to confirm").fill("acts:2")
    await dialog.get_by_role("button", name="Delete all of it").click()
    await expect(dialog.get_by_role("alert")).to_have_text("This is not the item's id.")
    await dialog.get_by_label("Write the item's id to confirm").fill("acts:1")
    await dialog.get_by_role("button", name="Delete all of it").click()
    await expect(ada.tile("👍 Like")).to_have_text("0")
    await ada.go("#/audit")
    acts = ada.shown.locator("tbody th")
    await expect(acts.first).to_have_text("item.delete")


async def test_a_chart_is_saved_as_csv_and_as_a_picture_and_read_as_a_table(ada: Board, hub: OwnHub) -> None:
    for actor in range(4):
        await react(hub, "saved:1", "like", actor=f"u:{actor}")
    await ada.go("#/items/saved:1", "saved:1")
    await expect(ada.shown.locator(".legend button", has_text="Like").locator("b")).to_have_text("4")

    async def saved(name: str) -> tuple[Download, bytes]:
        async with ada.page.expect_download() as coming:
            await ada.page.get_by_role("button", name=f"save as {name}").click()
        download = await coming.value
        return download, Path(await download.path()).read_bytes()

    csv, text = await saved("CSV")
    lines = text.decode().splitlines()
    assert csv.suggested_filename == "saved-1-minute.csv" and lines[0].startswith("time,like")
    assert sum(int(line.split(",")[1]) for line in lines[1:]) == 4
    png, picture = await saved("PNG")
    assert png.suggested_filename == "saved-1-minute.png" and picture.startswith(PNG) and len(picture) > 5000
    await ada.page.get_by_text("As a table").first.click()
    table = ada.page.get_by_role("region", name=re.compile("as a table"))
    await expect(table.locator("tbody tr").first.locator("td").first).to_have_text("4")


async def test_the_keyboard_walks_through_a_chart_and_keeps_its_place(ada: Board, hub: OwnHub) -> None:
    await react(hub, "keys:1", "like")
    await ada.go("#/items/keys:1", "keys:1")
    chart = ada.page.get_by_role("slider")
    await expect(chart).to_have_attribute("aria-valuetext", re.compile("Like 1"))
    last = int(await chart.get_attribute("aria-valuemax") or 0)
    await chart.focus()
    await ada.page.keyboard.press("ArrowLeft")
    await expect(chart).to_have_attribute("aria-valuenow", str(last - 1))
    await ada.page.keyboard.press("End")
    await expect(chart).to_have_attribute("aria-valuetext", re.compile("Like 1"))
    week = ada.page.get_by_role("radio", name="7 days")
    await ada.page.get_by_role("radio", name="3 hours").focus()
    await ada.page.keyboard.press("ArrowRight")
    await expect(ada.page).to_have_url(re.compile(r"range=week"))
    await expect(week).to_be_focused()


async def test_a_poll_is_made_extended_watched_and_closed(ada: Board, hub: OwnHub) -> None:
    page = ada.page
    await ada.go("#/polls", "Polls")
    await page.get_by_role("button", name="New poll…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Question").fill("Tea or coffee?")
    await dialog.get_by_label("Option 1", exact=True).fill("Tea")
    await dialog.get_by_label("Option 2", exact=True).fill("Coffee")
    await dialog.get_by_label("Option 2 is right").check()
    await dialog.get_by_role("button", name="Create").click()
    await page.get_by_role("link", name="Tea or coffee?").click()
    await expect(ada.heading).to_have_text(re.compile("^poll:"))
    item = await ada.heading.inner_text()
    assert (await react(hub, item, "option-2")).status_code == 200
    await expect(ada.shown.locator(".results li", has_text="Coffee").locator("b")).to_have_text("1")
    await expect(ada.shown.locator(".results li", has_text="Coffee")).to_contain_text("Right")
    await page.get_by_role("button", name="Close now…").click()
    await dialog.get_by_role("button", name="Close it").click()
    await expect(ada.shown.locator(".poll .note").last).to_contain_text("Closed")
    assert (await react(hub, item, "option-1", actor="u:2")).json()["code"] == "closed"


async def test_a_share_link_shows_only_and_ends_when_it_is_revoked(ada: Board, hub: OwnHub, chromium: Browser) -> None:
    await react(hub, "shared:1", "like")
    page = ada.page
    await ada.go("#/links", "Share links")
    await page.get_by_role("button", name="New link…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Corridor")
    await dialog.get_by_label("Page").select_option("#/items")
    await dialog.get_by_label("Items that begin with").fill("shared:")
    await dialog.get_by_role("button", name="Make the link").click()
    url = await page.get_by_role("textbox", name="Link for Corridor").input_value()
    guest = await chromium.new_context()
    board = await Board.open(guest, hub, url.removeprefix(f"{hub.http}/dashboard"))
    await board.signed_in()
    await expect(board.heading).to_have_text("Items")
    assert "tl_" not in board.page.url
    await expect(board.shown.locator("tbody th")).to_have_text(["shared:1"])
    await expect(board.page.get_by_role("link", name="Share", exact=True)).to_have_count(0)
    await board.go("#/items/shared:1", "shared:1")
    await expect(board.tile("👍 Like")).to_have_text("1")
    await expect(board.page.get_by_role("button", name="Freeze")).to_have_count(0)
    forged = "fetch('/v1/admin/items/shared:1/freeze', { method: 'PUT' }).then(({ status }) => status)"
    assert await board.page.evaluate(forged) == 403
    await page.get_by_role("row", name=re.compile("Corridor")).get_by_role("button", name="Revoke…").click()
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_role("row", name=re.compile("Corridor"))).to_have_count(0)
    await board.page.evaluate("location.hash = '#/items'")
    await expect(board.page.get_by_role("alert")).to_contain_text("This link has ended, or was revoked")
    assert board.errors == []
    await guest.close()


async def test_whose_key_is_revoked_is_signed_out_and_told_why(hub: OwnHub, key: str, chromium: Browser) -> None:
    id, own = await make_key(hub, "read", name="Ben")
    context = await chromium.new_context()
    board = await Board.open(context, hub)
    await board.sign_in(own)
    await board.signed_in()
    assert (await admin(hub, key, "DELETE", f"/v1/admin/keys/{id}")).status_code == 204
    await board.page.evaluate("location.hash = '#/items'")
    await expect(board.page.get_by_role("alert")).to_contain_text("The key was revoked")
    await expect(board.page.get_by_role("navigation", name="Pages")).to_be_hidden()
    await context.close()


async def test_a_page_of_another_site_cannot_act_with_the_cookie(
    hub: OwnHub, key: str, whole_chromium: Browser
) -> None:
    """`localhost` and 127.0.0.1 are two sites; a form is what needs nobody's leave to be sent."""
    context = await whole_chromium.new_context()
    board = await Board.open(context, hub)
    await board.sign_in(key)
    await board.signed_in()
    form = f'<form method="post" action="{hub.http}/dashboard/session"><input name="key" value="tk_x"></form>'
    page = await context.new_page()
    await page.route("http://localhost:1/", lambda route: route.fulfill(body=form, content_type="text/html"))
    await page.goto("http://localhost:1/")
    async with page.expect_response(f"{hub.http}/dashboard/session") as coming:
        await page.evaluate("document.forms[0].submit()")
    answer = await coming.value
    assert answer.status == 403
    assert "cookie" not in await answer.request.all_headers()
    await page.close()
    await board.go("#/items", "Items")
    await context.close()


async def test_axe_finds_nothing_on_any_page_in_the_light_and_all_text_stands_out_in_the_dark(
    ada: Board, hub: OwnHub
) -> None:
    await react(hub, SEEN, "like")
    found = {}
    for where in PAGES:
        await ada.go(where)
        found[where] = await audit(ada.page)
    await ada.page.emulate_media(color_scheme="dark")
    await ada.go(f"#/items/{SEEN}", SEEN)  # the same colours make up all others
    found["in the dark"] = await audit(ada.page)
    await ada.page.emulate_media(color_scheme="light")
    assert {where: faults for where, faults in found.items() if faults} == {}


async def test_nothing_moves_while_pages_come_and_numbers_change(ada: Board, hub: OwnHub) -> None:
    await react(hub, SEEN, "like")
    await ada.page.reload()
    await ada.signed_in()
    for where in PAGES:
        await ada.go(where)
        await react(hub, SEEN, "clap", 1 + PAGES.index(where))
        await ada.page.evaluate("new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))")
    assert await ada.watched("shifts") == []


async def test_a_phone_shows_every_page_without_scrolling_sideways(ada: Board, hub: OwnHub) -> None:
    await react(hub, SEEN, "like")
    await ada.page.set_viewport_size({"width": 360, "height": 740})
    try:
        for where in (*PAGES, "#/more"):
            await ada.go(where)
            width, inner = await ada.wide()
            assert width <= inner, where
        await ada.page.get_by_role("navigation").get_by_role("link", name="Items").click()
        await expect(ada.heading).to_have_text("Items")
    finally:
        await ada.page.set_viewport_size({"width": 1280, "height": 900})


async def test_a_big_screen_shows_the_wall_alone_and_all_of_it(ada: Board) -> None:
    await ada.page.set_viewport_size({"width": 1920, "height": 1080})
    await ada.go("#/wall?screen=wall")
    await expect(ada.page.get_by_role("navigation")).to_be_hidden()
    tall = "[document.documentElement.scrollHeight, innerHeight]"
    height, inner = await ada.page.evaluate(tall)
    assert height <= inner
    await ada.page.get_by_role("button", name="Leave the big screen").click()
    await expect(ada.page.get_by_role("navigation")).to_be_visible()
    await ada.page.set_viewport_size({"width": 1280, "height": 900})


async def test_a_hub_that_does_not_answer_is_told_calmly_and_asked_again(ada: Board) -> None:
    pattern = re.compile(r"/v1/admin/")
    await ada.page.route(pattern, lambda route: route.abort())
    await ada.go("#/audit")
    fault = ada.shown.locator(".fault:not([hidden])")
    await expect(fault).to_have_text("The hub cannot be reached.")
    await ada.page.unroute(pattern)
    await ada.go("#/wall")
    await ada.go("#/audit")
    await expect(ada.shown.locator("tbody th").first).not_to_be_empty()
