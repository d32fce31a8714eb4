"""The load test's report in Chromium, opened from a file, as whoever got it by mail does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from axe import audit
from load_results import stopped, whole
from tallycast_loadtest import report
from tallycast_loadtest.figures import at
from tallycast_loadtest.results import Mark, Result
from window import NewPerson, until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

OpenReport = Callable[..., Awaitable[Page]]

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
DATA = "all => all.map(({ dataset, value, textContent }) => [dataset.path, value, textContent])"
# Of each plot: how many pixels have exactly the colour of one of its solid lines.
DRAWN = """
figures => figures.map((figure) => {
  const { width, height } = figure.querySelector("canvas");
  const pixels = figure.querySelector("canvas").getContext("2d").getImageData(0, 0, width, height).data;
  const solid = [...figure.querySelectorAll(".legend i:not(.dashed)")];
  const colours = new Set(solid.map((sample) => getComputedStyle(sample).color));
  let count = 0;
  for (let at = 0; at < pixels.length; at += 4) {
    const colour = `rgb(${pixels[at]}, ${pixels[at + 1]}, ${pixels[at + 2]})`;
    if (pixels[at + 3] === 255 && (colours.has(colour) || solid.length === 0)) count += 1;
  }
  return count;
})
"""
PLOTTED = "figure:has(canvas)"


@pytest_asyncio.fixture(loop_scope="session")
async def opened(person: NewPerson, tmp_path: Path) -> AsyncIterator[OpenReport]:
    """Opens a result's report: `await opened(whole(), color_scheme="dark")`.

    When the test ends, no page may have logged an error, asked for anything but its own file, or shown a dialog.
    """
    asked: list[str] = []
    wrong: list[str] = []
    address = (tmp_path / "report.html").as_uri()

    async def opened(result: Result, **options: Any) -> Page:
        report.write(result, tmp_path / "report.html")
        page = await (await person(**options)).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        await page.goto(address)
        return page

    yield opened
    assert wrong == []
    assert {each for each in asked if not each.startswith("blob:null/")} == {address}


def plain(result: Result) -> Any:
    """The result as its JSON is read again."""
    return json.loads(json.dumps(result.to_json()))


def plot(page: Page, name: str) -> Any:
    """The box of one plot, which arrow keys move through."""
    return page.locator(f'.plot[data-plot="{name}"]')


async def drawing(page: Page, name: str) -> str:
    """A plot's picture."""
    url: str = await plot(page, name).locator("canvas").evaluate("canvas => canvas.toDataURL()")
    return url


@pytest.mark.parametrize(("result", "least"), [(whole(), 50), (stopped(), 10)], ids=["whole", "stopped"])
async def test_every_figure_is_the_one_of_the_json(opened: OpenReport, result: Result, least: int) -> None:
    page = await opened(result)
    found = plain(result)
    assert json.loads(await page.locator("script#result").inner_text() or "null") == found
    shown = await page.locator("data[data-path]").evaluate_all(DATA)
    assert len(shown) >= least
    for path, value, text in shown:
        assert json.loads(value) == at(found, path), path
        assert text.strip(), path


async def test_every_plot_is_drawn(opened: OpenReport) -> None:
    page = await opened(whole())
    assert await page.locator(PLOTTED).count() == 11
    assert min(await page.locator(PLOTTED).evaluate_all(DRAWN)) > 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(opened: OpenReport, scheme: str) -> None:
    wrong = replace(whole().oracle, lost=2, examples=("post:1 like: the hub says 41, acknowledged were 43",))
    page = await opened(replace(whole(), verdict="wrong counts", oracle=wrong), color_scheme=scheme)
    await page.locator("summary").last.click()  # the JSON
    await page.locator("summary").first.click()  # a table
    assert await audit(page) == []


async def test_axe_finds_nothing_where_nothing_was_measured(opened: OpenReport) -> None:
    assert await audit(await opened(stopped())) == []


async def test_words_of_a_hostile_hub_are_shown_and_do_nothing(opened: OpenReport) -> None:
    result = whole()
    result = replace(
        result,
        errors={ATTACK: 3},
        scenario={**result.scenario, "name": ATTACK, "about": ATTACK},
        why=(ATTACK,),
        marks=(Mark(3.0, ATTACK),),
        hub=replace(result.hub, kinds=(ATTACK,)),
        oracle=replace(result.oracle, lost=1, examples=(ATTACK,)),
        thresholds=(replace(result.thresholds[0], text=ATTACK),),
    )
    page = await opened(result)
    await expect(page.get_by_role("row").filter(has_text=ATTACK).first).to_be_visible()
    assert await page.locator("img").count() == 0
    assert await page.evaluate("document.scripts.length") == 4
    assert await page.evaluate("Object.keys(JSON.parse(document.getElementById('result').textContent).errors)") == [
        ATTACK
    ]
    assert min(await page.locator(PLOTTED).evaluate_all(DRAWN)) > 20


async def test_the_theme_changes_at_a_click_and_the_plots_with_it(opened: OpenReport) -> None:
    page = await opened(whole(), color_scheme="light")
    light = await drawing(page, "viewer")
    await page.get_by_role("button", name="Show in dark colours").click()
    await expect(page.locator("body")).to_have_css("background-color", "rgb(19, 21, 24)")
    assert min(await page.locator(PLOTTED).evaluate_all(DRAWN)) > 20
    await page.get_by_role("button", name="Show in light colours").click()
    await expect(page.locator("body")).to_have_css("background-color", "rgb(246, 243, 237)")
    assert await drawing(page, "viewer") == light


async def test_latencies_switch_between_a_linear_and_a_logarithmic_scale(opened: OpenReport) -> None:
    page = await opened(whole())
    switch = page.get_by_role("switch", name="Logarithmic scale")
    await expect(switch).to_be_checked()  # this result's times lie far apart
    before = {name: await drawing(page, name) for name in ("viewer", "curve", "lag")}
    await switch.press("Space")
    await expect(switch).not_to_be_checked()
    after = {name: await drawing(page, name) for name in before}
    assert [name for name in before if before[name] != after[name]] == ["viewer", "curve"]
    await switch.press("Space")
    assert await drawing(page, "viewer") == before["viewer"]


async def test_arrow_keys_move_through_all_plots_together(opened: OpenReport) -> None:
    result = whole()
    page = await opened(result)
    viewer, ack = plot(page, "viewer"), page.locator("figure", has=plot(page, "ack"))
    await viewer.focus()
    await viewer.press("PageDown")
    await viewer.press("Home")
    for key in ("PageUp", "ArrowRight", "ArrowRight", "ArrowLeft"):
        await viewer.press(key)
    second = result.seconds[11]
    assert second.viewer_p99_ms is not None and second.ack_p50_ms is not None
    spoken = await viewer.get_attribute("aria-valuetext")
    assert spoken is not None and spoken.startswith(f"11 s: p99 {second.viewer_p99_ms:.3g} ms, p50 ")
    await expect(ack.locator(".when")).to_have_text("at 11 s")
    await expect(ack.get_by_role("button", name="p50")).to_contain_text(f"{second.ack_p50_ms:.2f} ms")
    await viewer.press("End")
    await expect(viewer).to_have_attribute("aria-valuenow", str(len(result.seconds) - 1))
    button = ack.get_by_role("button", name="p50")
    before = await drawing(page, "ack")
    await button.press("Enter")
    await expect(button).to_have_attribute("aria-pressed", "false")
    await until(page, "before => document.querySelector('[data-plot=ack] canvas').toDataURL() !== before", before)


async def test_the_json_can_be_saved(opened: OpenReport, tmp_path: Path) -> None:
    page = await opened(whole())
    async with page.expect_download() as saving:
        await page.get_by_role("link", name="JSON").click()
    saved = await saving.value
    assert saved.suggested_filename == "report.json"
    await saved.save_as(tmp_path / "saved.json")
    assert json.loads((tmp_path / "saved.json").read_text("utf-8")) == plain(whole())


async def test_a_dark_report_prints_in_light_colours_and_stays_dark(opened: OpenReport) -> None:
    page = await opened(whole(), color_scheme="dark")
    await page.evaluate(
        "addEventListener('beforeprint', () => { window.printed = document.documentElement.dataset.theme })"
    )
    assert len(await page.pdf(format="A4")) > 50_000
    assert await page.evaluate("[printed, document.documentElement.dataset.theme ?? null]") == ["light", None]
    await expect(page.locator("body")).to_have_css("background-color", "rgb(19, 21, 24)")


async def test_a_phone_shows_all_of_it_and_nothing_sticks_out(opened: OpenReport) -> None:
    page = await opened(whole(), **PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    assert await page.locator("table.latency th[scope=row]").first.evaluate("cell => cell.offsetHeight") < 60


async def test_without_scripts_all_figures_are_there(opened: OpenReport) -> None:
    page = await opened(whole(), java_script_enabled=False)
    await expect(page.get_by_text("The plots need JavaScript")).to_be_visible()
    await expect(page.get_by_role("row", name="Lost Acknowledged")).to_contain_text("0")
    await expect(page.locator(".tools")).to_be_hidden()
