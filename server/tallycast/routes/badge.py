"""GET /v1/items/{item}/badge.svg: one count as a picture, for READMEs, feeds and mail, where no script runs."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Mapping
from html import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast import wire
from tallycast.errors import Refused
from tallycast.kinds import Kind
from tallycast.routes.conditional import conditional
from tallycast.service import Service

LABEL = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]{0,64}")  # what an XML text may hold
FRESH_S = 30
CACHE = f"max-age={FRESH_S}, stale-while-revalidate=60, stale-if-error=86400"  # which GitHub's proxy of pictures obeys

HEIGHT = 20
CORNER = 6
PADDING = 7.0
FONT_SIZE = 11
UNITS = ((10**3, "K"), (10**6, "M"), (10**9, "B"), (10**12, "T"))

# Advance widths in em, as Verdana and DejaVu Sans have them. `textLength` fits any other font into the same room.
_NARROW: dict[str, float] = {
    character: width
    for width, characters in {
        0.29: " ',.IJijl",
        0.36: "-/:;\\f|",
        0.40: "!()[]rt",
        0.52: '"*_`sz?Lc',
        0.60: "FPTYaekovxy",
        0.64: "$0123456789EKSbdghnpqu{}",
        0.70: "ABCRVXZ",
        0.76: "DGHNU",
        0.84: "&OQw#+<=>M^~",
        0.98: "%m@W",
    }.items()
    for character in characters
}
_OTHER = 0.66
_WIDE = 1.25  # East Asian characters and emoji

# Label, number, and their grounds: the contrast of each pair is above 4.5 to 1 (WCAG AA).
LIGHT = ".a{fill:#e8eaf2}.b{fill:#2a4fd6}.t{fill:#1d2230}.n{fill:#fff}"
DARK = ".a{fill:#2b3040}.b{fill:#9fb3ff}.t{fill:#eef0f7}.n{fill:#0d1226}"
STYLES = {
    theme: f"text{{font:{FONT_SIZE}px Verdana,'DejaVu Sans',Geneva,sans-serif}}{colours}"
    for theme, colours in {
        "auto": f"{LIGHT}@media(prefers-color-scheme:dark){{{DARK}}}",
        "light": LIGHT,
        "dark": DARK,
    }.items()
}


async def badge(request: Request) -> Response:
    """The count of `kind` on the path's item, of a rating its average and how many rated.

    Raises Refused (counts' refusals, `unknown_kind`, `bad_request`).
    """
    service: Service = request.app.state.service
    actor = service.identify(request.headers.get("authorization"))
    item = wire.check_item(request.path_params["item"])
    service.check_view(actor, (item,))
    query = request.query_params
    name, shown = query.get("kind", ""), service.kinds.shown
    kind = shown.get(name) or service.kinds.get(name)
    if kind is None:
        raise Refused("unknown_kind", f"say which kind, ?kind={next(iter(shown))}: {', '.join(shown)}")
    label, theme = query.get("label", kind.label), query.get("theme", "auto")
    if not LABEL.fullmatch(label):
        raise Refused("bad_request", "label is a text of at most 64 characters, none of them a control character")
    if theme not in STYLES:
        raise Refused("bad_request", f"theme is one of {', '.join(STYLES)}")
    ((snapshot, _),) = await service.hub.read([item], None)
    veil = service.hub.veil(item)
    hidden = veil is not None and not veil.shows()
    style = STYLES[theme]
    headers = {
        "Content-Type": "image/svg+xml",
        "Cache-Control": f"{'private' if actor else 'public'}, {CACHE}",
        "Vary": "Authorization",
        "Content-Security-Policy": content_security_policy(style),
        "Cross-Origin-Resource-Policy": "cross-origin",  # it is there to be shown on other sites' pages
    }
    drawn, said = ("–", "not shown yet") if hidden else number(kind, snapshot.counts)
    body = draw(label, drawn, f"{label or kind.label or kind.name}: {said}", style)
    return conditional(request, body.encode(), headers)


def number(kind: Kind, counts: Mapping[str, int]) -> tuple[str, str]:
    """What is drawn of a kind, and what is said of it to who cannot see it."""
    if kind.parts is None:
        n = counts.get(kind.name, 0)
        return compact(n), f"{n:,}"
    raters = [counts.get(part, 0) for part in kind.parts]
    if not any(raters):
        return "–", "not rated yet"
    average = sum(stars * n for stars, n in enumerate(raters, 1)) / sum(raters)
    return f"{average:.1f} ({compact(sum(raters))})", f"{average:.1f} of {len(raters)}, {sum(raters):,} ratings"


def content_security_policy(style: str) -> str:
    """For a picture opened by itself: nothing but its own style, which the hash names."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'"


def draw(label: str, number: str, name: str, style: str) -> str:
    """The picture: `label` on the left, unless it is empty, `number` on the right; `name` is what is read out."""
    left, right = _room(label), _room(number)
    width = left + right
    name = escape(name)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{HEIGHT}" role="img" aria-label="{name}">',
        f"<title>{name}</title><style>{style}</style>",
    ]
    if label:
        # The whole in the label's colour, and the number's part, round on its right alone, on top of it.
        down, straight = HEIGHT - 2 * CORNER, f"{right - CORNER:g}"
        parts += [
            f'<rect class="a" width="{width:g}" height="{HEIGHT}" rx="{CORNER}"/>',
            f'<path class="b" d="M{left:g} 0h{straight}a{CORNER} {CORNER} 0 0 1 {CORNER} {CORNER}v{down}'
            f'a{CORNER} {CORNER} 0 0 1-{CORNER} {CORNER}h-{straight}z"/>',
            _text("t", label, 0.0),
        ]
    else:
        parts.append(f'<rect class="b" width="{width:g}" height="{HEIGHT}" rx="{CORNER}"/>')
    return "".join([*parts, _text("n", number, left), "</svg>\n"])


def _text(colour: str, text: str, left: float) -> str:
    length = f'textLength="{text_width(text):g}" lengthAdjust="spacingAndGlyphs"'
    return f'<text class="{colour}" x="{left + PADDING:g}" y="14" {length}>{escape(text)}</text>'


def _room(text: str) -> float:
    return text_width(text) + 2 * PADDING if text else 0.0


def text_width(text: str) -> float:
    """How wide `text` is in pixels, about; what joins the character before it takes no room."""
    return round(sum(_em(character) for character in text) * FONT_SIZE, 1)


def _em(character: str) -> float:
    if character in _NARROW:
        return _NARROW[character]
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0.0
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else _OTHER


def compact(number: int) -> str:
    """A count in at most four characters or so: 999, 1.2K, 12K, 3M."""
    if number < 1000:
        return str(number)
    text = ""
    for size, unit in UNITS:
        tenths, whole = (number * 10 + size // 2) // size, (number + size // 2) // size
        text = f"{tenths // 10}.{tenths % 10}".removesuffix(".0") if tenths < 100 else str(whole)
        text += unit
        if whole < 1000:
            break
    return text


routes: list[BaseRoute] = [Route("/v1/items/{item:path}/badge.svg", badge)]
