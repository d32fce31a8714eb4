"""A browser window on the gallery, and what went on in it that nobody saw."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, WebSocket, expect

from hubs import SECONDS, Hub, OwnHub

NO_HUB = re.compile(r"WebSocket connection to|Failed to load resource: net::ERR_(CONNECTION|EMPTY_RESPONSE)")
WATCH = """
window.watched = { violations: [], shifts: [], bumps: 0 };
addEventListener("securitypolicyviolation", (event) => watched.violations.push(event.effectiveDirective));
new PerformanceObserver((list) => {
  const sources = list.getEntries().filter((entry) => !entry.hadRecentInput).flatMap((entry) => entry.sources);
  watched.shifts.push(...sources.map(({ node }) => node?.outerHTML ?? node?.data ?? "what is gone"));
}).observe({ type: "layout-shift", buffered: true });
const animate = Element.prototype.animate;
Element.prototype.animate = function (...how) {
  watched.bumps += 1;
  return animate.apply(this, how);
};
"""

expect.set_options(timeout=SECONDS * 1000)


async def until(page: Page, condition: str, arg: object = None) -> None:
    """Wait until the condition, JavaScript as for page.evaluate(), holds in the page.

    Playwright's own wait_for_function() asks again from inside the page, by eval(), which a strict policy forbids.
    """
    async with asyncio.timeout(SECONDS):
        while not await page.evaluate(condition, arg):
            await asyncio.sleep(0.05)


class Window:
    """The gallery of `hub`, opened in a context: windows of one context are one person's.

    `errors` are the console's and those that nothing caught; `sent` the frames that the page sent, over so many
    `sockets`.
    """

    def __init__(self, page: Page, hub: Hub) -> None:
        self.page, self.hub = page, hub
        self.errors: list[str] = []
        self.sent: list[str] = []
        self.sockets = 0
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("websocket", self._note_socket)

    @classmethod
    async def open(cls, context: BrowserContext, hub: Hub) -> Window:
        """A new window, once its numbers are live."""
        window = cls(await context.new_page(), hub)
        await window.page.add_init_script(WATCH)
        await window.page.goto(f"{hub.http}/")
        await window.is_live()
        return window

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _note_socket(self, socket: WebSocket) -> None:
        self.sockets += 1
        socket.on("framesent", lambda frame: self.sent.append(str(frame)))

    def expect_no_hub(self) -> None:
        """The hub was away: that the browser could not reach it is no error of the page."""
        self.errors[:] = [error for error in self.errors if not (NO_HUB.match(error) or "(unreachable)" in error)]

    async def watched(self, what: str) -> Any:
        """`violations` of the content security policy, `shifts` of layout without input, `bumps` of numbers."""
        return await self.page.evaluate("what => watched[what]", what)

    async def state_is(self, state: str) -> None:
        """Wait for the connection's state as the page shows it."""
        await expect(self.page.locator(".state .word")).to_have_text(state)

    async def is_live(self) -> None:
        """Wait until the page has its numbers and a connection."""
        await self.state_is("live")
        await expect(self.page.locator(".run button[part]:not([aria-disabled])")).not_to_have_count(0)

    def button(self, card: str, kind: str) -> Locator:
        """The reaction button of a card, `article`, `clap` or `video`."""
        return self.page.locator(f"#{card} button[part~={kind}]")

    async def click(self, card: str, kind: str, times: int = 1) -> None:
        """Click a reaction. Elements that are far from the viewport wake up when they come near."""
        await self.page.locator(f"#{card} .run").scroll_into_view_if_needed()
        for _ in range(times):
            await self.button(card, kind).click()

    async def shows(self, card: str, kind: str, count: int, mine: bool | None = None) -> None:
        """Wait until a reaction shows a number, and whether it is the person's own where that is said."""
        button = self.button(card, kind)
        await self.page.locator(f"#{card} .run").scroll_into_view_if_needed()
        await expect(button.locator("[part=count]")).to_have_text(str(count))
        if mine is not None:
            await expect(button).to_have_attribute("aria-pressed", "true" if mine else "false")

    async def says(self, card: str, text: str | re.Pattern[str]) -> None:
        """Wait until the card's line for the person's own actions says this."""
        await expect(self.page.locator(f"#{card} [part=note]")).to_have_text(text)


# Fixtures: start(**settings) gives a hub, person(**options) a browser profile, window(hub) or window(hub, profile) one.
Start = Callable[..., OwnHub]
NewPerson = Callable[..., Awaitable[BrowserContext]]
OpenWindow = Callable[..., Awaitable[Window]]
