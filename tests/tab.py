"""A browser's tab with the SDK in it and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import BrowserContext, Page, WebSocket

from hubs import SECONDS

PAGE = "/v1/config"  # any page of the hub's that may be kept; what is no-store, browsers keep out of their page caches


class Tab:
    """A page that has the SDK: `hub` is its connection, `states` what it was told of items, newest first."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sockets = self.open_sockets = 0
        self.lines: list[str] = []
        self.errors: list[str] = []
        page.on("websocket", self._note_socket)
        page.on("console", lambda message: self.lines.append(message.text) if message.type == "warning" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note_socket(self, socket: WebSocket) -> None:
        self.sockets += 1
        self.open_sockets += 1
        socket.on("close", self._note_close)

    def _note_close(self, _socket: WebSocket) -> None:
        self.open_sockets -= 1

    @classmethod
    async def open(cls, context: BrowserContext, page_url: str, hub_url: str | None = None, options: str = "{}") -> Tab:
        """A new tab at `page_url` whose SDK comes from there."""
        tab = cls(await context.new_page())
        await tab.page.goto(page_url + PAGE)
        await tab.page.evaluate(
            f"""async (url) => {{
              const {{ connect }} = await import("/client/tallycast.js");
              window.connect = connect;
              window.hub = connect(url, {options});
              window.states = {{}};
              window.watch = (item, how) => hub.subscribe(item, (state) => (states[item] = state), how);
              watch("post:1");
            }}""",
            hub_url or page_url,
        )
        return tab

    async def until(self, condition: str, within_s: float = SECONDS) -> None:
        """Wait for a condition in the page."""
        await self.page.wait_for_function(condition, timeout=within_s * 1000, polling=50)

    async def live(self) -> None:
        """Wait until the numbers are there."""
        await self.until("hub.status === 'live' && states['post:1']?.known")

    async def shows(self, kind: str, count: int, mine: int | None = None, item: str = "post:1") -> None:
        """Wait until this is what the page was last told."""
        await self.until(f"(states['{item}']?.counts.{kind} ?? 0) === {count}")
        if mine is not None:
            await self.until(f"(states['{item}']?.mine.{kind} ?? 0) === {mine}")

    async def react(self, kind: str, item: str = "post:1") -> Any:
        """React, and wait for the answer."""
        return await self.page.evaluate("([item, kind]) => hub.react(item, kind)", [item, kind])


OpenTab = Callable[..., Awaitable[Tab]]
