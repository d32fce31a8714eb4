"""What site builders get wrong, and hubs that are none: the page stays calm and the console says why."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from embedding import OpenEmbed, Site
from hubs import OwnHub
from window import Start

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
        await ada.page.wait_for_function("code => told.some((each) => each.code === code)", arg=code)
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
    await ada.page.wait_for_function("() => told.some(({ code }) => code === 'forbidden')")
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
