"""How long a reaction takes to the number and to the chart of the dashboard's page of an item.

    PYTHONPATH=tests .venv/bin/python -m measure.dashboard --reactions 100

A hub and a Chromium on this machine, with nothing else to do. A time begins just before the reaction is sent, over
HTTP, and ends with the first task after the frame in which the number, or the chart's picture, is another one: then
the page's part of painting is over. The page compares its chart's picture in every frame, which makes it all slower.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import httpx
from playwright.async_api import async_playwright, expect

from board import Board, make_key
from hubs import OwnHub, defaults, running
from web import bearer

ITEM = "post:1"
SAID = {"item": ITEM, "kind": "clap", "value": 1}
MOST_MS = 300
PAUSE_S = 0.25
WATCH = """
() => {
  const tile = [...document.querySelectorAll(".tile")].find(({ textContent }) => textContent.includes("Clap"));
  const value = tile.querySelector(".value");
  const canvas = document.querySelector(".plot canvas");
  const painted = () => new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => resolve(performance.timeOrigin + performance.now());
    port2.postMessage(0);
  });
  const seen = { number: value.textContent, chart: canvas.toDataURL() };
  window.changes = { number: [], chart: [] };
  const look = () => {
    const now = { number: value.textContent, chart: canvas.toDataURL() };
    for (const what of ["number", "chart"]) {
      if (now[what] === seen[what]) continue;
      seen[what] = now[what];
      painted().then((at) => changes[what].push(at));
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reactions", type=int, default=100, help="20 to 1000")
    reactions = min(max(parser.parse_args().reactions, 20), 1000)
    with tempfile.TemporaryDirectory() as directory:
        with running(Path(directory), **defaults(reactions_per_second=0)) as hub:
            asyncio.run(_measure(hub, reactions))


async def _measure(hub: OwnHub, reactions: int) -> None:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    _, key = await make_key(hub)
    took_ms: dict[str, list[float]] = {"number": [], "chart": []}
    async with async_playwright() as playwright, httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        browser = await playwright.chromium.launch(executable_path=path, args=["--disable-gpu", *sandbox])
        board = await Board.open(await browser.new_context(), hub, f"#/items/{ITEM}")
        await board.sign_in(key)
        (await web.post("/v1/reactions", json=SAID, headers=bearer(hub, "u:first"))).raise_for_status()
        await expect(board.tile("Clap")).to_have_text("1")
        await expect(board.page.locator(".legend button", has_text="Clap")).to_be_visible()
        await board.page.evaluate(WATCH)
        for number in range(reactions):
            await asyncio.sleep(PAUSE_S + random.random() * 0.05)  # at any moment of a frame and of the hub's tick
            before = await board.page.evaluate("[changes.number.length, changes.chart.length]")
            headers = bearer(hub, f"u:{number}")
            sent_ms = time.time() * 1000
            (await web.post("/v1/reactions", json=SAID, headers=headers)).raise_for_status()
            for what, seen in zip(took_ms, before, strict=True):
                condition = "([what, seen]) => changes[what][seen]"
                came = await board.page.wait_for_function(condition, arg=[what, seen], polling=20)
                took_ms[what].append(await came.json_value() - sent_ms)
        await browser.close()
    for what, values in took_ms.items():
        p95 = quantiles(values, n=20)[-1]
        print(f"{what:>6}: median {median(values):.1f} ms, p95 {p95:.1f} ms, most {max(values):.1f} ms")
    print(f"asked of the chart: {MOST_MS} ms")


if __name__ == "__main__":
    main()
