"""What site builders get wrong, and hubs that are none: the page stays calm and the console says why."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from embedding import OpenEmbed, Site
from hubs import OwnHub
from window import Start, until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

WRONG = (
    '<tally-reactions id="{id}" {attributes}><data data-kind="like" value="41"></data></tally-reactions>'
    "<tally-reactions {attributes}></tally-reactions>"
)
GOOD = '<tally-count id="good" item="post:1" kind="like"></tally-count>'


@pytest.mark.parametrize(
    ("attributes", "code", "cause"),
    [
        ('item="post:1" kinds="like" hub="{site}"', "not_a_hub", "{site}"),
        ('item="post:1" kinds="like" hub="http://[nowhere"', None, '"http://[nowhere"'),
        ('item="two words" kinds="like"', "bad_item", '"two words" is no item'),
    ],
    ids=["an address that is none of a hub", "no address", "an odd item"],
)
async def test_a_wrong_attribute_is_one_line_in_the_console_and_leaves_the_number_alone(
    attributes: str, code: str | None, cause: str, embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    site.body = WRONG.format(id="here", attributes=attributes.format(site=site.origin)) + GOOD
    ada = await embed()
    await expect(ada.page.locator("#good [part=count]")).to_have_text("0")
    if code:
        await until(ada.page, "code => told.some((each) => each.code === code)", code)
    await ada.shows("like", 41)
    assert await ada.button("like").is_disabled()
    assert [cause.format(site=site.origin) in line for line in ada.warnings] == [True], ada.warnings
    ada.warnings.clear()
    ada.expect_no_answers()


async def test_an_unknown_kind_is_one_line_in_the_console_and_the_others_work(
    embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    site.body = WRONG.format(id="here", attributes='item="post:1" kinds="love,applaud"')
    ada = await embed()
    await ada.is_live()
    await ada.button("love").click()
    await ada.shows("love", 1)
    assert await ada.button("applaud").is_disabled()
    assert (await ada.told("tally:error"))[0]["code"] == "unknown_kind"
    assert ['no kind "applaud"' in line for line in ada.warnings] == [True], ada.warnings
    ada.warnings.clear()


async def test_a_site_that_is_not_on_the_list_is_told_where_to_put_itself(
    embed: OpenEmbed, start: Start, site: Site
) -> None:
    site.hub = start(origins="https://www.example.com").http
    site.body = WRONG.format(id="here", attributes='item="post:1" kinds="like"')
    ada = await embed()
    await until(ada.page, "() => told.some(({ code }) => code === 'forbidden')")
    await ada.shows("like", 41)
    assert ["TALLYCAST_ORIGINS" in line and site.origin in line for line in ada.warnings] == [True], ada.warnings
    ada.warnings.clear()
    ada.expect_no_answers()


async def test_a_refused_reaction_is_taken_back_and_says_why(embed: OpenEmbed, hub: OwnHub, site: Site) -> None:
    token = hub.token("u:42", items=["other:*"])
    site.body = f'<tally-button id="here" item="post:1" kind="like" token="{token}"></tally-button>'
    ada = await embed()
    await ada.is_live()
    await ada.button("like").click()
    note = ada.page.locator("#here [role=status]")
    await expect(note).to_contain_text("Not counted: ")
    await expect(note).to_be_visible()
    await ada.shows("like", 0)
    await expect(ada.button("like")).to_have_attribute("aria-pressed", "false")
    assert [error["code"] for error in await ada.told("tally:error")] == ["forbidden"]
    assert len(ada.warnings) == 1
    ada.warnings.clear()


async def test_an_expired_token_is_one_line_that_says_so_and_numbers_and_page_stay_calm(
    embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    token = hub.token("u:42", ttl_s=-60)
    site.body = "".join(
        f'<div><tally-button id="{id}" item="post:1" kind="like" token="{token}">41</tally-button></div>'
        for id in ("here", "other")
    )
    ada, ben = await embed(), await embed()
    await ada.is_live()
    await ada.shows("like", 0)  # it may look: the number is the hub's
    await ada.button("like").click()
    await expect(ada.page.locator("#here [role=status]")).to_contain_text("Not counted: ")
    await ada.shows("like", 0)
    assert {error["code"] for error in await ada.told("tally:error")} == {"token_expired"}
    for each in (ada, ben):
        await until(each.page, "() => told.some(({ code }) => code === 'token_expired')")
        assert ["expired" in line and hub.http in line for line in each.warnings] == [True], each.warnings
        each.warnings.clear()


async def test_where_only_tokens_may_look_an_expired_one_leaves_the_last_number(
    embed: OpenEmbed, start: Start, site: Site
) -> None:
    hub = start(origins=site.origin, viewing="token")
    site.hub = hub.http
    token = hub.token("u:42", ttl_s=-60)
    site.body = f'<tally-button id="here" item="post:1" kind="like" token="{token}">41</tally-button>'
    ada = await embed()
    await until(ada.page, "() => told.some(({ type }) => type === 'tally:error')")
    await ada.shows("like", 41)
    assert ["token" in line for line in ada.warnings] == [True], ada.warnings
    ada.warnings.clear()


async def test_a_function_that_gets_tokens_is_asked_again_when_one_has_expired(
    embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    site.body = '<tally-button id="here" item="post:1" kind="like"></tally-button>'
    ada = await embed()
    await ada.page.evaluate(
        """([old, good]) => {
          window.asked = 0;
          document.querySelector("#here").token = async () => (asked++ ? good : old);
        }""",
        [hub.token("u:42", ttl_s=-60), hub.token("u:42")],
    )
    await ada.is_live()
    await ada.button("like").click()
    ben = await embed()
    await ben.shows("like", 1)
    await ada.shows("like", 1)
    await expect(ada.button("like")).to_have_attribute("aria-pressed", "true")
    assert await ada.page.evaluate("asked") == 2


@pytest.mark.parametrize("thrown", ["new Error('signed out')", "undefined"])
async def test_a_function_that_gets_no_token_is_told_of_and_the_click_waits_for_one(
    thrown: str, embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    site.body = '<tally-button id="here" item="post:1" kind="like"></tally-button>'
    ada = await embed()
    await ada.page.evaluate(
        """(good) => {
          window.asked = 0;
          document.querySelector("#here").token = () => {
            if (asked++ < 3) throw THROWN;
            return good;
          };
        }""".replace("THROWN", thrown),
        hub.token("u:42"),
    )
    await ada.is_live()
    await ada.button("like").click()
    ben = await embed()
    await ben.shows("like", 1)
    assert ["(no_identity)" in line for line in ada.warnings] == [True], ada.warnings
    ada.warnings.clear()
