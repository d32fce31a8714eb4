"""Another site's pages with Tallycast's elements in them, under a policy as strict as can be."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, WebSocket, expect

from window import NO_HUB, WATCH

FILES = Path(__file__).parent / "browser" / "widget"
REACTIONS = '<tally-reactions id="here" item="post:1" kinds="like,dislike,clap,share"></tally-reactions>'
POLICY = (
    "default-src 'none'; style-src 'self'; script-src {hub}; connect-src {hub} {socket} {site} {site_socket}; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
NO_ANSWER = re.compile(r"CORS policy|^Failed to load resource: |^WebSocket connection to|^EventSource's response")
LISTEN = """
window.told = [];
for (const type of ["tally:change", "tally:error"]) {
  addEventListener(type, ({ detail, target }) => told.push({ type, target: target.id, ...detail }));
}
"""


class Site:
    """A site of its own origin. Its every page is page.html with `body`, and speaks to the hub at `hub`."""

    def __init__(self) -> None:
        self.body, self.lang, self.dir = REACTIONS, "en", "ltr"
        self.hub = ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                style = self.path == "/page.css"
                answer = (FILES / "page.css").read_bytes() if style else site.page()
                self.send_response(200)
                self.send_header("Content-Type", f"text/{'css' if style else 'html'}; charset=utf-8")
                self.send_header("Content-Length", str(len(answer)))
                self.send_header("Content-Security-Policy", site.policy())
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def page(self) -> bytes:
        """The page as it is now."""
        text = (FILES / "page.html").read_text("utf-8")
        return text.format(hub=self.hub, body=self.body, lang=self.lang, dir=self.dir).encode()

    def policy(self) -> str:
        """The page's policy: the hub's scripts and connections to it (and to the site, which is none), nothing else."""
        socket, site_socket = (url.replace("http", "ws") for url in (self.hub, self.origin))
        return POLICY.format(hub=self.hub, socket=socket, site=self.origin, site_socket=site_socket)


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """A site's server answers, on a thread of its own."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


class Embed:
    """A page of the site, opened. `warnings`: Tallycast's lines in the console; `errors`: all others, exceptions."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self.sockets: list[WebSocket] = []
        self.sent: list[str] = []
        self._answers_expected = True
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("websocket", self._note_socket)

    @classmethod
    async def open(cls, context: BrowserContext, site: Site) -> Embed:
        """A new page of the site."""
        embed = cls(await context.new_page())
        await embed.page.add_init_script(WATCH + LISTEN)
        await embed.page.goto(f"{site.origin}/")
        return embed

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not NO_HUB.match(message.text):
            own = message.text.startswith("tallycast: ")
            if own or self._answers_expected or not NO_ANSWER.search(message.text):
                (self.warnings if own else self.errors).append(message.text)

    def _note_socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket)
        socket.on("framesent", lambda frame: self.sent.append(str(frame)))

    def expect_no_answers(self) -> None:
        """The hub is none, or not for this site: what the browser itself says of that, also later, is no error."""
        self._answers_expected = False
        self.errors[:] = [error for error in self.errors if not NO_ANSWER.search(error)]

    def button(self, kind: str, element: str = "#here") -> Locator:
        """The button of a kind in an element."""
        return self.page.locator(f"{element} button[part~={kind}]")

    async def shows(self, kind: str, text: str | int, element: str = "#here") -> None:
        """Wait until a button shows a number."""
        await expect(self.button(kind, element).locator("[part=count]")).to_have_text(str(text))

    async def is_live(self, element: str = "#here") -> None:
        """Wait until an element's buttons have their numbers and can be pressed."""
        await expect(self.page.locator(f"{element} button:not([aria-disabled])")).not_to_have_count(0)
        await expect(self.page.locator(f"{element} [part=count]").first).not_to_have_text("–")

    async def watched(self, what: str) -> Any:
        """`violations`, `shifts` or `bumps`, as in window.WATCH."""
        return await self.page.evaluate("what => watched[what]", what)

    async def told(self, type: str) -> list[dict[str, Any]]:
        """The events of a type that came up to the page's window so far: their details, and the `target`'s id."""
        told: list[dict[str, Any]] = await self.page.evaluate("told")
        return [detail for detail in told if detail["type"] == type]


OpenEmbed = Callable[..., Awaitable[Embed]]
