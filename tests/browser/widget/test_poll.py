"""`<tally-poll>` in another site's pages: people vote, change their minds, and see together how it ends."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Locator, Route, expect

from axe import audit
from embedding import Embed, OpenEmbed, Site, serving
from hubs import SECONDS, OwnHub, defaults, running
from polling import Polling
from window import NewPerson, until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site that all tests of this module share."""
    site = Site()
    with serving(site.server):
        yield site


@pytest.fixture(scope="module")
def hub(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    """The hub that they share."""
    settings = defaults(origins=site.origin, reactions_per_second=0)
    with running(tmp_path_factory.mktemp("hub"), **settings) as hub:
        site.hub = hub.http
        yield hub


@pytest_asyncio.fixture(loop_scope="session")
async def at(hub: OwnHub) -> AsyncIterator[Polling]:
    """An administrator at the hub."""
    async with httpx.AsyncClient(base_url=hub.http, timeout=20, trust_env=False) as web:
        yield await Polling.at(hub, web)


def show(site: Site, made: dict[str, Any], *, more: str = "") -> None:
    """Let the site's pages have the poll."""
    site.lang, site.dir = "en", "ltr"
    site.body = (
        f'<script type="module" src="{site.hub}/client/poll.js"></script>'
        f'<div class="poll"><tally-poll id="here" item="{made["item"]}" {more}></tally-poll></div>'
    )


def option(embed: Embed, number: int) -> Locator:
    """An option's radio button or box."""
    return embed.page.locator("#here input").nth(number - 1)


async def stands(embed: Embed, *counts: str) -> None:
    """Wait until the options show these."""
    await expect(embed.page.locator("#here [part=count]")).to_have_text(list(counts))


async def tells(embed: Embed, text: str) -> None:
    """Wait until the line below the options says this."""
    await expect(embed.page.locator("#here [part=line]")).to_contain_text(text)


async def listen(embed: Embed) -> None:
    """Keep what is read out."""
    await expect(embed.page.locator("#here input").first).to_be_visible()
    await embed.page.evaluate(
        """() => {
          window.said = [];
          const note = document.querySelector("#here").shadowRoot.querySelector("[role=status]");
          const read = () => note.textContent && said.push(note.textContent);
          new MutationObserver(read).observe(note, { childList: true });
        }"""
    )


async def test_a_vote_is_seen_by_all_and_may_be_changed(embed: OpenEmbed, at: Polling, site: Site) -> None:
    show(site, made := await at.make(question="Which lamp?", options=["Oil", "Gas", "Electric"]))
    ada, ben = await embed(), await embed()
    await listen(ben)
    await stands(ada, "0%", "0%", "0%")
    await tells(ada, "Closes in 60 minutes · Votes: 0")
    await option(ada, 1).click()
    for each in (ada, ben):
        await stands(each, "100%", "0%", "0%")
        await tells(each, "Votes: 1")
    await expect(ada.page.locator("#here [part~=mine]")).to_contain_text("Oil")
    await expect(ben.page.locator("#here [part~=mine]")).to_have_count(0)
    await expect(ada.page.locator("#here [role=status]")).to_have_text("Your vote: Oil")
    await option(ada, 2).click()
    await option(ben, 2).click()
    for each in (ada, ben):
        await stands(each, "0%", "100%", "0%")
    await expect(ben.page.locator("#here [role=status]")).to_have_text("Your vote: Gas")
    assert await ben.page.evaluate("said") == ["Your vote: Gas"], "others' votes are not read out"
    last = (await ada.told("tally:change"))[-1]
    assert (last["item"], last["counts"], last["mine"], last["target"]) == (made["item"], [0, 2, 0], [2], "here")
    own = [each["counts"] for each in await ada.told("tally:change") if each["own"]]
    assert own == [[1, 0, 0], [0, 1, 0]]

    # The poll itself changes: it goes on for longer.
    path, longer = f"/v1/admin/polls/{made['id']}", {"closes_at": time.time() + 86_400 * 3}
    assert (await at.web.patch(path, json=longer, headers=at.as_admin)).status_code == 200
    for each in (ada, ben):
        await tells(each, "Closes in 3 days")


async def test_who_has_voted_sees_how_it_stands_and_nobody_else(embed: OpenEmbed, at: Polling, site: Site) -> None:
    show(site, made := await at.make(results="voted", choice="multiple"))
    ada, ben = await embed(), await embed()
    await stands(ben, "", "", "")
    await option(ada, 1).click()
    await stands(ada, "1", "0", "0")
    await option(ada, 2).click()
    await stands(ada, "1", "1", "0")
    await at.vote(made["id"], 2, "u:7", kind="choice")
    await stands(ada, "1", "2", "0")  # later votes, too
    assert [each["counts"] for each in await ben.told("tally:change")] == [None]
    again = await embed(ada.page.context)
    await stands(again, "1", "2", "0")
    await option(again, 2).click()
    await option(again, 1).click()
    await stands(again, "", "", "")
    await stands(ben, "", "", "")


async def test_a_vote_while_the_hub_s_answer_is_on_its_way_is_seen_too(
    embed: OpenEmbed, at: Polling, site: Site
) -> None:
    show(site, made := await at.make(results="voted", choice="multiple"))
    ada = await embed()
    await option(ada, 1).click()
    await stands(ada, "1", "0", "0")
    answered, sent = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        answered.set()
        await sent.wait()
        await route.fulfill(response=answer)

    await ada.page.route("**/v1/polls/*", hold, times=1)
    await at.vote(made["id"], 2, "u:7", kind="choice")
    async with asyncio.timeout(SECONDS):
        await answered.wait()
    async with ada.sockets[-1].expect_event("framereceived"):
        await at.vote(made["id"], 3, "u:7", kind="choice")
    sent.set()
    await stands(ada, "1", "1", "1")


async def test_at_the_end_all_see_the_votes_and_the_right_answer(embed: OpenEmbed, at: Polling, site: Site) -> None:
    show(site, made := await at.make(results="closed", answers=[2]))
    ada, ben = await embed(), await embed(color_scheme="dark", reduced_motion="reduce")
    await listen(ben)
    await option(ada, 1).click()
    await expect(option(ada, 1)).to_be_checked()
    await tells(ben, "Closes in")
    assert (await at.vote(made["id"], 2, "u:8")).status_code == 200
    await stands(ada, "", "", "")
    assert await audit(ada.page) == []
    await at.close(made["id"])
    for each in (ada, ben):
        await stands(each, "50%", "50%", "0%")
        await tells(each, "Closed · Votes: 2 · Right answer: B")
    await expect(ada.page.locator("#here [part=mark]")).to_have_text(["✗", "✓", ""])
    await expect(ada.page.locator("#here [part~=right]")).to_contain_text("B")
    assert (await ben.page.evaluate("said"))[-1] == "Closed · Votes: 2 · Right answer: B"
    await option(ada, 3).click(force=True)
    await expect(option(ada, 1)).to_be_checked()
    assert await audit(ben.page) == []
    late = await at.vote(made["id"], 3, "u:9")
    assert (late.status_code, late.json()["code"]) == (409, "closed")


async def test_the_keyboard_votes_by_choice_and_not_on_the_way_also_from_right_to_left(
    embed: OpenEmbed, at: Polling, site: Site
) -> None:
    show(site, made := await at.make())
    site.lang, site.dir = "ar-u-nu-latn", "rtl"
    ada = await embed(viewport={"width": 320, "height": 640}, reduced_motion="reduce")
    await expect(option(ada, 1)).to_be_visible()
    keys = ada.page.keyboard
    await keys.press("Tab")
    await expect(option(ada, 1)).to_be_focused()
    assert await ada.page.locator("#here label").first.evaluate("it => getComputedStyle(it).outlineStyle") == "solid"
    for key, number in (("ArrowDown", 2), ("ArrowLeft", 3), ("ArrowDown", 1), ("ArrowUp", 3), ("ArrowRight", 2)):
        await keys.press(key)
        await expect(option(ada, number)).to_be_focused()
    assert (await at.poll(made["id"]))["v"] == 0
    await keys.press("Space")
    await expect(ada.page.get_by_role("radio", name="B")).to_be_checked()
    assert await ada.page.get_by_role("group", name="Which?").count() == 1
    await at.vote(made["id"], 1, "u:7")
    bar, label = ada.page.locator("#here [part=bar]").first, ada.page.locator("#here label").first
    await expect(bar).to_have_css("width", re.compile(r"^1[0-9]{2}(\.\d+)?px$"))
    inner, outer = await bar.bounding_box(), await label.bounding_box()
    assert inner is not None and outer is not None
    assert abs(inner["x"] + inner["width"] - outer["x"] - outer["width"]) < 3, "bars begin on the right"
    assert await ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_where_there_is_no_poll_or_the_hub_is_older_than_polls_the_page_stays_calm(
    embed: OpenEmbed, at: Polling, site: Site, person: NewPerson
) -> None:
    show(site, {"item": "poll:nowhere"})
    site.body += '<tally-poll item="poll:nowhere"></tally-poll><tally-poll item="poll:old">Vote by mail</tally-poll>'
    context = await person()
    problem = {"type": "about:blank", "status": 404, "code": "not_found", "detail": "there is nothing at this path"}
    await context.route("**/v1/polls/old", lambda route: route.fulfill(status=404, json=problem))
    ada = await embed(context)
    await until(ada.page, "() => told.length >= 3")
    assert {error["code"] for error in await ada.told("tally:error")} == {"not_found"}
    causes = ("poll:nowhere: there is no poll", "poll:old: there is nothing")
    assert [[cause in line for line in ada.warnings].count(True) for cause in causes] == [1, 1], ada.warnings
    assert len(ada.warnings) == 2, ada.warnings
    await expect(ada.page.get_by_text("Vote by mail")).to_be_visible()
    ada.warnings.clear()
    ada.expect_no_answers()


async def test_a_refused_vote_is_taken_back_and_says_why(embed: OpenEmbed, at: Polling, site: Site) -> None:
    token = at.hub.token("u:42", items=["other:*"])
    show(site, await at.make(), more=f'token="{token}"')
    ada = await embed()
    await stands(ada, "0%", "0%", "0%")
    await option(ada, 1).click()
    note = ada.page.locator("#here [role=status]")
    await expect(note).to_contain_text("Not counted: ")
    await expect(note).to_be_visible()
    await expect(option(ada, 1)).not_to_be_checked()
    await stands(ada, "0%", "0%", "0%")
    assert [error["code"] for error in await ada.told("tally:error")] == ["forbidden"]
    ada.warnings.clear()
