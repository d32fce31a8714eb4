"""What 50 widgets cost a page while an item that they all show changes at every tick of the hub.

    PYTHONPATH=tests .venv/bin/python -m measure.widgets --seconds 10

In Chromium, by its own performance APIs: CPU time of the main thread a second and widget (CDP's TaskDuration in thread
ticks, which has style, layout and painting in it; what the same page takes without changes taken off), shifts of the
layout, and long tasks: those of loading, beside those of the same page whose script does not come, and those of the
changes. The reactions come from this process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from playwright.async_api import Browser, CDPSession, async_playwright

from embedding import Embed, Site
from hubs import Hub, defaults, running
from web import bearer

WIDGETS = 50
TICK_S = 0.05
KINDS = "like,clap"
LONG_TASKS = """
window.long = [];
new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration)))
  .observe({ type: "longtask" });
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="at most 60")
    seconds = min(parser.parse_args().seconds, 60)
    site = Site()
    Thread(target=site.server.serve_forever, daemon=True).start()
    site.body = (
        '<div class="cards">'
        + f'<div><tally-reactions item="post:1" kinds="{KINDS}"></tally-reactions></div>' * WIDGETS
    )
    with tempfile.TemporaryDirectory() as directory:
        with running(Path(directory), **defaults(origins=site.origin, reactions_per_second=0)) as hub:
            site.hub = hub.http
            asyncio.run(_measure(hub, site, seconds))


async def _measure(hub: Hub, site: Site, seconds: int) -> None:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--disable-gpu", *sandbox])
        without = await _open(browser, site, script=False)
        await asyncio.sleep(1)
        bare = await _long_tasks(without)
        await without.page.context.close()
        embed = await _open(browser, site, script=True)
        context = embed.page.context
        await embed.is_live("tally-reactions")
        cdp = await context.new_cdp_session(embed.page)
        await cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
        await asyncio.sleep(2)
        loading = await _long_tasks(embed)
        idle = await _work(cdp, asyncio.sleep(seconds))
        changes = await _changes(embed)
        hot = await _work(cdp, _react(hub, seconds))
        changes = await _changes(embed) - changes
        changing = (await _long_tasks(embed))[len(loading) :]
        print(f"{changes / seconds:.1f} changes a second in each of {WIDGETS} widgets")
        for name in hot:
            print(f"{name:>20} {(hot[name] - idle[name]) / seconds / WIDGETS * 1000:7.3f} ms a second and widget")
        print(f"long tasks: loading {loading} ms (without the script {bare}), changing {changing}")
        print(f"shifts: {len(await embed.watched('shifts'))}")
        await browser.close()


async def _open(browser: Browser, site: Site, *, script: bool) -> Embed:
    context = await browser.new_context(viewport={"width": 1280, "height": 1600})
    await context.add_init_script(LONG_TASKS)
    if not script:
        await context.route("**/client/*", lambda route: route.abort())
    return await Embed.open(context, site)


async def _long_tasks(embed: Embed) -> list[int]:
    """All so far, in ms."""
    return [round(each) for each in await embed.page.evaluate("long")]


async def _changes(embed: Embed) -> int:
    return len(await embed.told("tally:change")) // WIDGETS


async def _work(cdp: CDPSession, meanwhile: Any) -> dict[str, float]:
    """Seconds of the main thread's work in `meanwhile`, by what it was."""
    before = await _metrics(cdp)
    await meanwhile
    after = await _metrics(cdp)
    return {name: after[name] - before[name] for name in before}


async def _metrics(cdp: CDPSession) -> dict[str, float]:
    metrics = (await cdp.send("Performance.getMetrics"))["metrics"]
    return {each["name"]: each["value"] for each in metrics if each["name"].endswith("Duration")}


async def _react(hub: Hub, seconds: int) -> None:
    """A clap more at every tick."""
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        for number in range(int(seconds / TICK_S)):
            began = asyncio.get_running_loop().time()
            said = {"item": "post:1", "kind": "clap", "value": number % 50 + 1}
            await web.post("/v1/reactions", json=said, headers=bearer(hub, f"u:{number // 50}"))
            await asyncio.sleep(max(0, began + TICK_S - asyncio.get_running_loop().time()))


if __name__ == "__main__":
    main()
