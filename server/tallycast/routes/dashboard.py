"""The dashboard at `/dashboard`: its files, signing in and out, and a token for its socket.

What it shows and does, it reads and does over /v1/admin/… and the socket, as everybody may. The page itself is the same
for everybody and holds nothing.
"""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tallycast import wire
from tallycast.errors import Refused
from tallycast.routes.client import takes_gzip
from tallycast.routes.conditional import conditional
from tallycast.routes.demo import HOST, MEDIA_TYPES
from tallycast.routes.incoming import read_body
from tallycast.sessions import Session, Sessions
from tallycast.sessions.sessions import COOKIE, VIEWER, check_own_page

FORM = "application/x-www-form-urlencoded"
MOST_BYTES = 4096
TOKEN_S = 600
NO_STORE = {"Cache-Control": "no-store"}

_PACKAGE = Path(__file__).parent.parent
SOURCES = _PACKAGE / "dashboard"
PACKED = _PACKAGE / "client"  # where what is packed of the SDK lies too
NAMES = ("base", "frame", "parts", "charts", "dialogs", "small", "pages", "wall")  # joined in this order
STYLES = tuple(f"{name}.css" for name in NAMES)


class File(NamedTuple):
    """A file of the page, as it is served to whoever takes gzip."""

    gzipped: bytes
    media_type: str

    @property
    def plain(self) -> bytes:
        """The same for anybody else."""
        return gzip.decompress(self.gzipped)


def packed_path(kind: str) -> Path:
    """Where tests/packing.py puts what it makes of the modules ("js") and style sheets ("css") as they are now."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.js")) + sorted(SOURCES.glob("*.css")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return PACKED / f"dashboard-{digest.hexdigest()[:12]}.{kind}.gz"


def _files() -> dict[str, File]:
    """The page's files by name: packed, or in a checkout whose sources have not been packed, as they are written."""
    found = {name: (SOURCES / name).read_bytes() for name in ("index.html", "icon.svg")} | _uplot()
    js, css = packed_path("js"), packed_path("css")
    packed = {}
    if js.exists() and css.exists():
        packed = {"app.js": js.read_bytes(), "page.css": css.read_bytes()}
    else:
        found |= {path.name: path.read_bytes() for path in SOURCES.glob("*.js")}
        found["page.css"] = b"".join((SOURCES / name).read_bytes() for name in STYLES)
    packed |= {name: gzip.compress(body, 9, mtime=0) for name, body in found.items()}  # no time in it: alike everywhere
    return {name: File(body, MEDIA_TYPES[Path(name).suffix]) for name, body in packed.items()}


def _uplot() -> dict[str, bytes]:
    """uPlot as a module and its style, from the one copy of it, which is the load test's, with its licence."""
    folder = files("tallycast_loadtest").joinpath("report", "uplot")
    licence, script = (folder.joinpath(name).read_text("utf-8") for name in ("LICENSE", "uPlot.iife.min.js"))
    module = f"/*!\n{licence}*/\n{script}\nexport default uPlot;\n".encode()
    return {"uplot.js": module, "uplot.css": folder.joinpath("uPlot.min.css").read_bytes()}


FILES = _files()


def policy(host: str | None) -> str:
    """What the page may load and do: the files of its own hub, and talk to its own hub. See routes/demo.py."""
    sockets = f" ws://{host} wss://{host}" if host and HOST.fullmatch(host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self'{sockets}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def send(request: Request, name: str, cache_control: str) -> Response:
    """One of the files, or 304 where the browser has it already. Raises HTTPException (404)."""
    file = FILES.get(name)
    if file is None:
        raise HTTPException(404)
    headers = {
        "Content-Type": file.media_type,
        "Cache-Control": cache_control,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": policy(request.headers.get("host")),
    }
    if takes_gzip(", ".join(request.headers.getlist("accept-encoding"))):
        return conditional(request, file.gzipped, headers | {"Content-Encoding": "gzip"})
    return conditional(request, file.plain, headers)


async def page(request: Request) -> Response:
    """GET /dashboard"""
    return send(request, "index.html", "no-store")


async def asset(request: Request) -> Response:
    """GET /dashboard/{name}"""
    return send(request, request.path_params["name"], "no-cache")


async def sign_in(request: Request) -> Response:
    """POST /dashboard/session: with a key, as JSON or a form, or a share link's token."""
    if "origin" in request.headers:
        check_own_page(request)  # another site's page must not sign anybody in
    sessions, service = _sessions(request), request.app.state.service
    within_s = service.settings.request_s
    body = await read_body(request, most_bytes=MOST_BYTES, within_s=within_s)
    form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM
    fields = dict(parse_qsl(body.decode("latin-1"))) if form else wire.loads(body)
    key, link = fields.get("key"), fields.get("link")
    address = service.address(request)
    shown: dict[str, object] = {}
    if isinstance(link, str) and key is None:
        session, cookie = sessions.open_link(link, address)
        shown["page"] = session.link.page if session.link else ""
        mine = _by_key(request)
        if mine is not None:
            return JSONResponse(_told(request, mine) | shown, headers=NO_STORE)  # who may do more is not made a guest
    elif isinstance(key, str) and link is None:
        session, cookie = await sessions.sign_in(key, address)
    else:
        raise Refused("bad_request", 'send {"key": "tk_…"} or {"link": "tl_…"}')
    answer = Response(status_code=303, headers=NO_STORE | {"Location": _root(request) + "/dashboard"}) if form else None
    answer = answer or JSONResponse(_told(request, session) | shown, headers=NO_STORE)
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=sessions.left_s(session),
        path="/",
        httponly=True,
        # A proxy's word that there is TLS is believed from anybody: it changes nothing but the sender's own cookie.
        secure="https" in (request.url.scheme, forwarded),
        samesite="strict",
    )
    return answer


async def session(request: Request) -> Response:
    """GET /dashboard/session: who is signed in; 204 for nobody, which is no fault."""
    found = _sessions(request).session(request)
    return (
        Response(status_code=204, headers=NO_STORE)
        if found is None
        else JSONResponse(_told(request, found), headers=NO_STORE)
    )


async def sign_out(request: Request) -> Response:
    """DELETE /dashboard/session"""
    check_own_page(request)
    answer = Response(status_code=204, headers=NO_STORE)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


async def token(request: Request) -> Response:
    """GET /dashboard/token: for the socket to watch with, null where everybody may."""
    admin = _session(request).admin
    service = request.app.state.service
    if service.settings.viewing != "token":
        return JSONResponse({"token": None}, headers=NO_STORE)
    if "read" not in admin.rights:
        raise Refused("forbidden", "this key has not the right to read")
    made = service.identity.sign(VIEWER + admin.key, ttl_s=TOKEN_S, items=[admin.prefix + "*"])
    return JSONResponse({"token": made, "expires_in": TOKEN_S}, headers=NO_STORE)


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.site.sessions
    return sessions


def _by_key(request: Request) -> Session | None:
    """The session of who is signed in with a key already."""
    try:
        return _sessions(request).session(request)
    except Refused:
        return None


def _session(request: Request) -> Session:
    found = _sessions(request).session(request)
    if found is None:
        raise Refused("unauthenticated", "nobody is signed in")
    return found


def _told(request: Request, session: Session) -> dict[str, object]:
    return session.told() | {"viewing": request.app.state.service.settings.viewing}


def _root(request: Request) -> str:
    """Where the hub is mounted, "" for nowhere else."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


routes: list[BaseRoute] = [
    Route("/dashboard", page),
    Route("/dashboard/session", session),
    Route("/dashboard/session", sign_in, methods=["POST"]),
    Route("/dashboard/session", sign_out, methods=["DELETE"]),
    Route("/dashboard/token", token),
    Route("/dashboard/{name}", asset),
]
