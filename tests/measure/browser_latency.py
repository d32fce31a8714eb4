"""How long a click takes to the number on the screen: the clicker's own, and that of somebody else on the same hub.

    PYTHONPATH=tests .venv/bin/python -m measure.browser_latency --clicks 100

Two persons' windows of one Chromium on this machine, on another site's page with the widget in it, and a hub with
nothing else to do. Times begin with the mouse event's own and end with the first task after the frame that has the new
number, which is when the page's part of painting is over. Motion is off: else the same frame begins to roll the digits.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import tempfile
from pathlib import Path
from statistics import median, quantiles
from threading import Thread

from playwright.async_api import Browser, Page, async_playwright

from embedding import Embed, Site
from hubs import defaults, running

PAUSE_S = 0.2  # longer than the widget keeps a number still
MEDIAN_MS, P95_MS = 20, 60
CLOCK = """
window.at = (timeStamp) => performance.timeOrigin + timeStamp;
window.painted = () => new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => resolve(performance.now());
  port2.postMessage(0);
});
window.count = () => here.shadowRoot.querySelector("[part=count]").textContent;
"""
CLICKER = """
window.clicks = [];
addEventListener("click", (event) => {
  const before = count();
  requestAnimationFrame(async () => {
    const same = count() !== before;
    clicks.push({ at: at(event.timeStamp), own: (await painted()) - event.timeStamp, same });
  });
}, { capture: true });
"""
WATCHER = """
window.changes = [];
addEventListener("tally:change", async ({ detail }) => changes.push({ value: detail.value, at: at(await painted()) }));
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=100, help="100 to 180")
    clicks = min(max(parser.parse_args().clicks, 100), 180)
    site = Site()
    site.body = '<tally-reactions id="here" item="post:1" kinds="like"></tally-reactions>'
    Thread(target=site.server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as directory:
        with running(Path(directory), **defaults(origins=site.origin, reactions_per_second=0)) as hub:
            site.hub = hub.http
            asyncio.run(_measure(site, clicks))


async def _measure(site: Site, clicks: int) -> None:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--disable-gpu", *sandbox])
        ada, ben = await _window(browser, site, CLICKER), await _window(browser, site, WATCHER)
        button = await ada.locator("#here button").bounding_box()
        assert button
        for number in range(1, clicks + 1):
            # At any moment of a frame and of the hub's tick.
            await asyncio.sleep(PAUSE_S + random.random() * 0.05)
            await ada.mouse.click(button["x"] + 20, button["y"] + 20)
            await ben.wait_for_function("number => changes.length === number", arg=number, polling=50)
        clicked, changed = await ada.evaluate("clicks"), await ben.evaluate("changes")
        await browser.close()
    assert len(clicked) == len(changed) == clicks
    own = [each["own"] for each in clicked]
    other = [there["at"] - here["at"] for here, there in zip(clicked, changed, strict=True)]
    same = sum(each["same"] for each in clicked)
    print(f"{clicks} clicks; {same} with the own number in the very next frame")
    for name, values in {"own number": own, "another's window": other}.items():
        p95 = quantiles(values, n=20)[-1]
        print(f"{name:>17}: median {median(values):.1f} ms, p95 {p95:.1f} ms, most {max(values):.1f} ms")
    print(f"asked of another's: median {MEDIAN_MS} ms, p95 {P95_MS} ms")


async def _window(browser: Browser, site: Site, script: str) -> Page:
    """A new person's window, with `like` 0 times or once on it."""
    context = await browser.new_context(reduced_motion="reduce")
    await context.add_init_script(CLOCK + script)
    embed = await Embed.open(context, site)
    await embed.is_live()
    await embed.page.evaluate("window.changes = []")
    return embed.page


if __name__ == "__main__":
    main()
