"""Windows on the gallery, in Debian's own Chromium, against real hubs."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright

import hubs
from hubs import Hub, OwnHub, defaults, running
from tab import OpenTab, Tab
from window import NewPerson, OpenWindow, Start, Window

ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WHOLE = ("chromium", "chromium-browser", "google-chrome")
SHELL = ("chromium-headless-shell", *WHOLE)  # the same engine with no window around it: half the CPU
NO_CHROMIUM = "no Chromium: apt-get install chromium"


@asynccontextmanager
async def _launched(programs: Sequence[str], **options: Any) -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, programs)), None)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(NO_CHROMIUM)
        pytest.skip(f"NOT TESTED IN A BROWSER: {NO_CHROMIUM}")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none for root
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *sandbox], **options)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all tests. Without it they are skipped, and fail where CI is set."""
    async with _launched(SHELL) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def whole_chromium() -> AsyncIterator[Browser]:
    """A browser as everybody has it, which keeps pages for its back button; Playwright turns that off."""
    async with _launched(WHOLE, ignore_default_args=["--disable-back-forward-cache"]) as browser:
        yield browser


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts the test's hub, `start(reactions_per_second=2)`: every time on the same port and the same store."""
    port = hubs.free_port()
    monkeypatch.setattr(hubs, "free_port", lambda: port)
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running(tmp_path, **defaults(**settings)))


@pytest.fixture
def hub(start: Start) -> OwnHub:
    """A hub that nobody has reacted on yet."""
    return start()


@pytest_asyncio.fixture(loop_scope="session")
async def person(chromium: Browser) -> AsyncIterator[NewPerson]:
    """Makes a person's browser profile: `await person(color_scheme="dark")`. Closed when the test ends."""
    contexts: list[BrowserContext] = []

    async def person(**options: Any) -> BrowserContext:
        contexts.append(await chromium.new_context(**options))
        return contexts[-1]

    yield person
    for context in contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def window(start: Start, person: NewPerson) -> AsyncIterator[OpenWindow]:
    """Opens the gallery: `await window(hub)` as a new person, `await window(hub, context)` as one who is there.

    When the test ends, and the hub still runs, no window may have seen an error or a violation of the policy.
    """
    windows: list[Window] = []

    async def window(hub: Hub, context: BrowserContext | None = None, **options: Any) -> Window:
        windows.append(await Window.open(context or await person(**options), hub))
        return windows[-1]

    yield window
    for opened in windows:
        assert opened.errors == []
        assert await opened.watched("violations") == []


@pytest_asyncio.fixture(loop_scope="session")
async def tab(start: Start, person: NewPerson) -> AsyncIterator[OpenTab]:
    """Opens a tab that is live: `await tab(url)` of a new person, `await tab(url, context)` of one who is there."""
    tabs: list[Tab] = []

    async def open_tab(url: str, context: BrowserContext | None = None, *, live: bool = True, **more: Any) -> Tab:
        tabs.append(await Tab.open(context or await person(), url, **more))
        if live:
            await tabs[-1].live()
        return tabs[-1]

    yield open_tab
    for opened in tabs:
        assert opened.errors == []
