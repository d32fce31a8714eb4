"""The dashboard in a browser's window, and keys to sign in to it with."""

from __future__ import annotations

import time
from typing import Any, Self

import httpx
from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, expect

from hubs import OwnHub
from tallycast.access import RIGHTS, SPACE, dump_key, new_key
from tallycast.store.sqlite_beside import open_records
from web import bearer
from window import WATCH

ANSWER = "Failed to load resource: "  # what the browser itself says of a refusal, which the page then words
PAINT = "canvas => canvas.toDataURL()"


async def make_key(hub: OwnHub, *rights: str, name: str = "Ada", prefix: str = "") -> tuple[str, str]:
    """A new key of a running hub: its id and its token. All rights where none are given."""
    id, token, key = new_key(name, rights or RIGHTS, prefix=prefix, now_s=time.time())
    beside = open_records(hub.directory / "hub.db")
    try:
        await beside.records.put(SPACE, id, dump_key(key), None)
    finally:
        await beside.close()
    return id, token


async def react(hub: OwnHub, item: str, kind: str, value: int = 1, *, actor: str = "u:1") -> httpx.Response:
    """A reaction from somewhere else, accepted or not."""
    said = {"item": item, "kind": kind, "value": value}
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        return await web.post("/v1/reactions", json=said, headers=bearer(hub, actor))


async def admin(hub: OwnHub, token: str, method: str, path: str, **how: Any) -> httpx.Response:
    """A request of the administrator's API."""
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        return await web.request(method, path, headers={"Authorization": f"Bearer {token}"}, **how)


class Board:
    """A window on the dashboard. `errors` are the console's and those that nothing caught."""

    def __init__(self, page: Page, hub: OwnHub) -> None:
        self.page, self.hub = page, hub
        self.errors: list[str] = []
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @classmethod
    async def open(cls, context: BrowserContext, hub: OwnHub, where: str = "") -> Self:
        """A new window at an address below /dashboard, such as "#/items"."""
        board = cls(await context.new_page(), hub)
        await board.page.add_init_script(WATCH)
        await board.page.goto(f"{hub.http}/dashboard{where}")
        return board

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(ANSWER):
            self.errors.append(message.text)

    async def sign_in(self, token: str) -> None:
        """Fill in the form, and send it."""
        await self.page.get_by_label("Key", exact=True).fill(token)
        await self.page.get_by_role("button", name="Sign in").click()

    async def signed_in(self) -> None:
        """Wait until the pages are there."""
        await expect(self.page.get_by_role("navigation", name="Pages")).to_be_visible()
        await expect(self.page.locator(".state .word")).to_have_text("Live")

    @property
    def shown(self) -> Locator:
        """The page that is shown. While another is being made that is there too, hidden."""
        return self.page.locator("main > .page:not([hidden])")

    async def settled(self) -> None:
        """Wait until no other page is being made."""
        await expect(self.page.locator("main > .page")).to_have_count(1)

    async def go(self, where: str, heading: str | None = None) -> None:
        """Go to a page of it, of another sort or with another heading than the one before; wait until it is shown."""
        name, _, rest = where.removeprefix("#/").partition("?")[0].partition("/")
        await self.page.evaluate("where => { location.hash = where }", where)
        await expect(self.page.locator(f"main > .{'item' if rest else name}:not([hidden])")).to_have_count(1)
        if heading is not None:
            await expect(self.heading).to_have_text(heading)

    def tile(self, name: str) -> Locator:
        """The number of a tile."""
        return self.shown.locator(".tile", has_text=name).locator(".value")

    async def drawn(self) -> str:
        """What the first chart's canvas shows."""
        return str(await self.shown.locator(".plot canvas").first.evaluate(PAINT))

    @property
    def heading(self) -> Locator:
        """The page's own heading."""
        return self.shown.get_by_role("heading", level=1)

    async def watched(self, what: str) -> Any:
        """`violations` of the policy, `shifts` of layout without input."""
        return await self.page.evaluate("what => watched[what]", what)

    async def wide(self) -> tuple[int, int]:
        """How wide the page is, and the window."""
        width, inner = await self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return width, inner
