"""The elements for everybody: screen readers, keyboards, other languages, small screens, dark rooms, slow machines."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.async_api import FloatRect, expect

from embedding import REACTIONS, Embed, OpenEmbed, Site
from hubs import OwnHub
from web import bearer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

AXE = Path(__file__).parent.parent / "node_modules" / "axe-core" / "axe.min.js"
RULES = """
async () => {
  const { violations, incomplete, passes } = await axe.run();
  const told = (results) => results.flatMap(({ id, nodes }) => nodes.map(({ target }) => [id, String(target)]));
  return { wrong: told(violations), unsure: told(incomplete), right: told(passes) };
}
"""


async def react(hub: OwnHub, kind: str, value: int, actors: int = 1) -> None:
    """Reactions from somewhere else."""
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        for number in range(actors):
            said = {"item": "post:1", "kind": kind, "value": value}
            answer = await web.post("/v1/reactions", json=said, headers=bearer(hub, f"u:{number}"))
            assert answer.status_code == 200, answer.text


async def box(embed: Embed, selector: str) -> FloatRect:
    """Where the first element of a selector is on the page, in CSS pixels."""
    found = await embed.page.locator(selector).first.bounding_box()
    assert found is not None
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_and_the_contrasts_are_enough(
    scheme: str, embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    site.body += '<p><tally-count item="post:1" kind="love"></tally-count> love it</p>'
    ada = await embed(color_scheme=scheme, reduced_motion="reduce")
    await ada.is_live()
    await ada.button("like").click()
    await ada.button("dislike").hover()
    await ada.page.evaluate(AXE.read_text("utf-8"))
    found = await ada.page.evaluate(RULES)
    assert found["wrong"] == []
    assert [each for each in found["unsure"] if each[0] == "color-contrast"] == []
    assert len([each for each in found["right"] if each[0] == "color-contrast" and "count" in each[1]]) >= 4


async def test_a_number_is_short_to_the_eye_and_whole_by_name_in_the_pages_language(
    embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    site.body += '<div lang="de"><tally-button id="de" item="post:1" kind="clap"></tally-button></div>'
    site.body += '<div lang="no language"><tally-button id="none" item="post:1" kind="clap"></tally-button></div>'
    await react(hub, "clap", 50, actors=26)
    ada = await embed()
    await ada.shows("clap", "1.3K")
    await expect(ada.button("clap")).to_have_accessible_name("Clap, 1,300")
    await expect(ada.button("clap", "#de")).to_have_accessible_name("Clap, 1.300")
    await ada.shows("clap", "1300", "#de")
    await ada.shows("clap", "1.3K", "#none")


async def test_others_changes_are_not_read_out_and_the_own_one_is_once(embed: OpenEmbed, hub: OwnHub) -> None:
    ada = await embed()
    await ada.is_live()
    await ada.page.evaluate(
        """() => {
          window.said = [];
          const note = document.querySelector("#here").shadowRoot.querySelector("[role=status]");
          new MutationObserver(() => said.push(note.textContent)).observe(note, { childList: true });
        }"""
    )
    like = ada.button("like")
    await like.focus()
    await react(hub, "like", 1)
    await ada.shows("like", 1)
    await expect(like).to_have_accessible_name("Like, 0")  # it has been read out; a new name would be, too
    await ada.page.keyboard.press("Space")
    await ada.shows("like", 2)
    await expect(like).to_have_accessible_name("Like, 2")
    await ada.page.keyboard.press("Tab")
    await react(hub, "like", 0)
    await ada.shows("like", 1)
    await expect(like).to_have_accessible_name("Like, 1")
    assert await ada.page.evaluate("said") == ["Like, 2"]


async def test_everything_works_from_the_keyboard_with_a_visible_focus(embed: OpenEmbed, hub: OwnHub) -> None:
    ada = await embed()
    await ada.is_live()
    await ada.page.keyboard.press("Tab")
    like, dislike = ada.button("like"), ada.button("dislike")
    await expect(like).to_be_focused()
    assert await like.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    await ada.page.keyboard.press("Space")
    await ada.shows("like", 1)
    await ada.page.keyboard.press("Tab")
    await expect(dislike).to_be_focused()
    await ada.page.keyboard.press("Enter")
    await ada.shows("dislike", 1)
    await ada.shows("like", 0)


async def test_from_right_to_left_the_first_button_is_on_the_right_and_icons_before_numbers(
    embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    site.dir, site.lang = "rtl", "he"
    ada = await embed()
    await ada.is_live()
    like, share = await box(ada, "#here button[part~=like]"), await box(ada, "#here button[part~=share]")
    assert like["x"] > share["x"]
    icon, count = await box(ada, "#here [part=icon]"), await box(ada, "#here [part=count]")
    assert icon["x"] > count["x"]
    assert await ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    "screen",
    [
        {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True},
        {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
    ],
    ids=["a small phone", "a screen of 1280 at 200 %"],
)
async def test_on_small_screens_all_is_there_with_targets_for_thumbs(
    screen: dict[str, object], embed: OpenEmbed, hub: OwnHub
) -> None:
    ada = await embed(**screen)
    await ada.is_live()
    assert await ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    boxes = [await button.bounding_box() for button in await ada.page.get_by_role("button").all()]
    assert len(boxes) == 4
    assert [each for each in boxes if each is None or min(each["width"], each["height"]) < 44] == []


async def test_letters_of_twice_the_size_stay_in_their_buttons(embed: OpenEmbed, hub: OwnHub) -> None:
    ada = await embed(reduced_motion="reduce")  # else it grows over a tenth of a second
    await ada.is_live()
    await ada.page.evaluate("document.documentElement.style.fontSize = '32px'")
    button, count = await box(ada, "#here button"), await box(ada, "#here [part=count]")
    assert button["height"] > 80
    assert button["y"] < count["y"]
    assert count["y"] + count["height"] < button["y"] + button["height"]
    assert count["x"] + count["width"] < button["x"] + button["width"]
    await ada.page.evaluate("watched.shifts.length = 0")


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
async def test_numbers_roll_and_icons_float_only_for_those_who_like_motion(
    motion: str, moves: bool, embed: OpenEmbed, hub: OwnHub
) -> None:
    ada = await embed(reduced_motion=motion)
    await ada.is_live()
    await react(hub, "clap", 1)
    await ada.shows("clap", 1)
    await ada.button("like").click()
    await ada.shows("like", 1)
    assert (await ada.watched("bumps") > 0) is moves
    assert (await ada.page.locator("#here [part=float]").count() > 0) is moves


async def test_a_hot_number_moves_nothing_else_and_sends_up_a_few_icons_only(
    embed: OpenEmbed, hub: OwnHub, site: Site
) -> None:
    site.body = f"<div>{REACTIONS}</div>" * 12
    ada = await embed()
    await ada.is_live()
    await ada.page.evaluate(
        """() => {
          window.most = 0;
          const all = [...document.querySelectorAll("tally-reactions")];
          const look = () => {
            const floats = all.flatMap(({ shadowRoot }) => [...shadowRoot.querySelectorAll("[part=float]")]);
            most = Math.max(most, floats.length);
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    for value in range(1, 51):
        await react(hub, "clap", value)
    await react(hub, "clap", 50, actors=30)
    await expect(ada.page.locator("tally-reactions button[part~=clap] [part=count]").last).to_have_text("1.5K")
    assert 1 <= await ada.page.evaluate("most") <= 3  # and nothing has shifted: the fixture looks at that


async def test_a_site_may_bring_icons_and_styles_of_its_own(embed: OpenEmbed, hub: OwnHub, site: Site) -> None:
    site.body = (
        '<tally-button id="here" item="post:1" kind="like">'
        '<svg slot="like" id="own" viewBox="0 0 24 24"><path d="M2 2h20v20z"></path></svg></tally-button>'
    )
    ada = await embed()
    await ada.is_live()
    assert (await box(ada, "#own"))["width"] > 15
    assert await ada.page.evaluate("document.querySelector('#own').assignedSlot.name") == "like"
    await ada.page.evaluate("document.querySelector('#here').style.setProperty('--tally-accent', 'rgb(1, 2, 3)')")
    await ada.button("like").click()
    await expect(ada.button("like")).to_have_css("background-color", "rgb(1, 2, 3)")
    await expect(ada.page.locator("#here button[part~=mine]")).to_have_count(1)
