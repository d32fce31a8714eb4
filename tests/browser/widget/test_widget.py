"""The elements in other sites' pages: what people do with them, and what site builders do."""

from __future__ import annotations

import json

import httpx
import pytest
from playwright.async_api import expect

from embedding import Embed, OpenEmbed, Site
from hubs import OwnHub, eventually
from web import bearer
from window import NewPerson

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def react(hub: OwnHub, actor: str, kind: str, value: int = 1, item: str = "post:1") -> None:
    """A reaction from somewhere else."""
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        said = {"item": item, "kind": kind, "value": value}
        answer = await web.post("/v1/reactions", json=said, headers=bearer(hub, actor))
        assert answer.status_code == 200, answer.text


def subscribed(embed: Embed) -> set[str]:
    """The items that a page watches by what it has sent so far."""
    items: set[str] = set()
    for message in map(json.loads, embed.sent):
        if message["op"] == "subscribe":
            items |= set(message["items"])
        elif message["op"] == "unsubscribe":
            items -= set(message["items"])
    return items


async def test_a_click_on_one_site_moves_the_number_on_all_of_them(embed: OpenEmbed, hub: OwnHub) -> None:
    ada, ben = await embed(), await embed()
    await ada.is_live()
    await ben.is_live()
    script = (
        "button => { button.click(); return [button.ariaPressed, button.querySelector('[part=count]').textContent]; }"
    )
    moved = await ada.button("like").evaluate(script)
    assert moved == ["true", "1"]
    await ben.shows("like", 1)
    await expect(ben.button("like")).to_have_attribute("aria-pressed", "false")
    await ada.button("dislike").click()
    for window in (ada, ben):
        await window.shows("like", 0)
        await window.shows("dislike", 1)
    await expect(ada.button("like")).to_have_attribute("aria-pressed", "false")
    await expect(ada.button("dislike")).to_have_attribute("aria-pressed", "true")


async def test_claps_add_up_to_the_most_and_say_so(embed: OpenEmbed, hub: OwnHub) -> None:
    ada = await embed()
    await ada.is_live()
    clap = ada.button("clap")
    await clap.evaluate("button => { for (let i = 0; i < 55; i += 1) button.click(); }")
    await ada.shows("clap", 50)
    await expect(clap).to_have_accessible_name("Clap, 50, 50/50")
    await expect(ada.page.locator("#here [role=status]")).to_have_text("50/50")
    assert await clap.get_attribute("aria-pressed") is None


async def test_events_tell_the_page_whose_doing_a_change_was(embed: OpenEmbed, hub: OwnHub) -> None:
    ada = await embed()
    await ada.is_live()
    await ada.button("like").click()
    await react(hub, "u:1", "clap", 3)
    await ada.shows("clap", 3)
    told = [(each["kind"], each["value"], each["own"]) for each in await ada.told("tally:change") if each["value"]]
    assert told == [("like", 1, True), ("clap", 3, False)]
    last = (await ada.told("tally:change"))[-1]
    assert (last["target"], last["item"], last["counts"], last["mine"]) == (
        "here",
        "post:1",
        {"like": 1, "clap": 3},
        {"like": 1},
    )


async def test_a_share_copies_the_pages_link_and_then_counts(
    embed: OpenEmbed, hub: OwnHub, person: NewPerson, site: Site
) -> None:
    site.body += '<tally-button id="other" kind="share" item="post:2" href="/post/2"></tally-button>'
    ada = await embed(await person(permissions=["clipboard-read", "clipboard-write"]))
    await ada.is_live()
    await ada.button("share").click()
    await expect(ada.page.locator("#here [role=status]")).to_have_text("Link copied")
    await ada.shows("share", 1)
    assert await ada.page.evaluate("navigator.clipboard.readText()") == "https://www.example.com/post/1"
    await ada.button("share", "#other").click()
    await ada.shows("share", 1, "#other")
    assert await ada.page.evaluate("navigator.clipboard.readText()") == f"{site.origin}/post/2"


async def test_where_the_system_can_share_it_does_and_then_counts(
    embed: OpenEmbed, hub: OwnHub, person: NewPerson
) -> None:
    context = await person()
    await context.add_init_script("navigator.share = async (data) => { window.shared = data; };")
    ada = await embed(context)
    await ada.is_live()
    await ada.button("share").click()
    await ada.shows("share", 1)
    assert await ada.page.evaluate("shared") == {"title": "A post", "url": "https://www.example.com/post/1"}


async def test_a_share_that_is_called_off_does_not_count(embed: OpenEmbed, hub: OwnHub, person: NewPerson) -> None:
    context = await person()
    await context.add_init_script("navigator.share = async () => { throw new DOMException('no', 'AbortError'); };")
    ada = await embed(context)
    await ada.is_live()
    await ada.button("share").click()
    await ada.button("like").click()
    await ada.shows("like", 1)
    assert [frame for frame in ada.sent if '"share"' in frame] == []


async def test_fifty_elements_share_a_socket_and_a_second_tab_has_none(
    embed: OpenEmbed, hub: OwnHub, person: NewPerson, site: Site
) -> None:
    site.body = '<div class="cards">' + "".join(
        f'<tally-button id="b{n}" item="post:{n}" kind="like"></tally-button>' for n in range(50)
    )
    context = await person(viewport={"width": 1000, "height": 900})
    first = await embed(context)
    await first.is_live("#b49")
    second = await embed(context)
    await second.is_live("#b49")
    await second.button("like", "#b7").click()
    await first.shows("like", 1, "#b7")
    await react(hub, "u:1", "like", item="post:7")
    await second.shows("like", 2, "#b7")
    assert (len(first.sockets), len(second.sockets)) == (1, 0)


async def test_only_what_is_near_the_viewport_is_watched(embed: OpenEmbed, hub: OwnHub, site: Site) -> None:
    site.body += '<div class="far"><tally-button id="far" item="post:2" kind="like"></tally-button></div>'
    ada = await embed()
    await ada.is_live()
    assert subscribed(ada) == {"post:1"}
    await ada.page.locator("#far").scroll_into_view_if_needed()
    await ada.is_live("#far")
    await eventually(lambda: subscribed(ada) == {"post:2"})


async def test_tab_finds_what_is_far_below_and_the_button_keeps_its_focus_while_it_wakes_up(
    embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    await react(hub, "u:1", "dislike")
    site.body = (
        '<a id="before" href="#">Above</a>'
        '<div class="far"><tally-reactions id="far" item="post:1" kinds="like,dislike"></tally-reactions></div>'
    )
    ada = await embed()
    like, dislike = ada.button("like", "#far"), ada.button("dislike", "#far")
    await expect(like).to_have_attribute("aria-disabled", "true")
    assert subscribed(ada) == set()
    await ada.page.locator("#before").focus()
    await ada.page.keyboard.press("Tab")
    await ada.page.keyboard.press("Tab")
    await ada.is_live("#far")
    await expect(dislike).to_be_focused()
    await ada.page.keyboard.press("Space")
    await ada.shows("dislike", 2, "#far")


async def test_how_many_watch_is_a_number_like_others(embed: OpenEmbed, hub: OwnHub, site: Site) -> None:
    site.body = '<tally-count id="here" item="post:1" kind="viewers"></tally-count>'
    ada = await embed()
    count = ada.page.locator("#here [part=count]")
    await expect(count).to_have_text("1")
    await embed()
    await expect(count).to_have_text("2")
    await expect(count).to_have_accessible_name("viewers, 2")


async def test_a_number_from_the_server_is_there_before_the_hub_is(
    embed: OpenEmbed, hub: OwnHub, person: NewPerson, site: Site
) -> None:
    site.body = (
        '<tally-reactions id="here" item="post:1" kinds="like,clap">'
        '<data data-kind="like" value="1234">1.2K likes</data></tally-reactions>'
        '<p><tally-count id="count" item="post:1" kind="love">5,678</tally-count> loves</p>'
    )
    context = await person()
    await context.route("**/v1/**", lambda route: route.abort())
    await context.route_web_socket("**/v1/live", lambda line: line.close())
    ada = await embed(context)
    await ada.shows("like", "1.2K")
    await ada.shows("clap", "–")
    await expect(ada.page.locator("#count [part=count]")).to_have_accessible_name("love, 5,678")
    assert await ada.button("like").is_disabled()
    await eventually(lambda: len(ada.warnings) == 1 and hub.http in ada.warnings[0])
    ada.warnings.clear()
    ada.expect_no_answers()


async def test_elements_may_come_late_move_be_copied_and_have_properties_first(
    embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    site.body = ""
    await react(hub, "u:1", "like")
    ada = await embed()
    await ada.page.evaluate(
        """async (hub) => {
          const early = document.createElement("x-button");
          Object.assign(early, { item: "post:1", kind: "like", id: "early" });
          document.body.append(early);
          const { define } = await import(`${hub}/client/widget.js`);
          define("x");
          define("x");
          await import(`${hub}/client/1/widget.js`); // loaded twice, as two modules
          const late = document.createElement("tally-button");
          document.body.append(late);
          late.setAttribute("item", "post:1");
          late.id = "late";
          const copy = late.cloneNode(true);
          copy.id = "copy";
          document.body.prepend(copy);
          document.body.prepend(early); // moved
        }""",
        hub.http,
    )
    for element in ("#early", "#late", "#copy"):
        await ada.shows("like", 1, element)
    await ada.button("like", "#early").click()
    for element in ("#early", "#late", "#copy"):
        await ada.shows("like", 2, element)
    await ada.page.evaluate("document.querySelector('#late').item = 'post:2'")
    await ada.shows("like", 0, "#late")
    await ada.page.evaluate("document.querySelectorAll('x-button, tally-button').forEach((each) => each.remove())")
    await eventually(lambda: all(socket.is_closed() for socket in ada.sockets))
    await ada.page.evaluate("watched.shifts.length = 0")  # what was put in at the top moved the rest
