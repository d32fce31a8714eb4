"""origins.py: who is let in, who is not, and what a browser is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallycast.origins import Origins, parse_origin


@pytest.mark.parametrize(
    ("entry", "normal"),
    [
        ("*", "*"),
        ("https://Example.COM", "https://example.com"),
        ("HTTPS://example.com:443", "https://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("http://example.com:443", "http://example.com:443"),
        ("https://example.com:08443", "https://example.com:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://192.0.2.1", "http://192.0.2.1"),
        ("http://[2001:DB8::1]:8080", "http://[2001:db8::1]:8080"),
        ("https://*.Example.com", "https://*.example.com"),
        ("https://*.example.com:443", "https://*.example.com"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_an_entry_is_brought_to_its_normal_form(entry: str, normal: str) -> None:
    assert parse_origin(entry) == normal


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "null",
        "example.com",
        "//example.com",
        "https://",
        "https://example.com/",
        "https://example.com/path",
        "https://me@example.com",
        "https://example.com:",
        "https://example.com:65536",
        "https://exa mple.com",
        "https://exämple.com",
        "https://*",
        "https://*.",
        "https://*example.com",
        "https://www.*.com",
        "https://*.*.com",
        "https://*.[::1]",
        "*.example.com",
        "**",
        "https://example.com\n",
        "https://-example.com",
        "https://" + "a" * 300,
    ],
)
def test_an_entry_that_is_no_origin_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"an origin such as https://www\.example\.com"):
        parse_origin(entry)
    with pytest.raises(ValueError, match="an origin such as"):
        Origins([entry])


LISTED = Origins(
    ["https://site.example", "http://dev.example:3000", "https://*.wide.example", "https://*.port.example:8443"]
)


@pytest.mark.parametrize(
    "origin",
    [
        "https://site.example",
        "https://SITE.example",
        "https://site.example:443",
        "http://dev.example:3000",
        "https://a.wide.example",
        "https://a.b.wide.example",
        "https://a.port.example:8443",
    ],
)
def test_a_listed_origin_is_allowed(origin: str) -> None:
    assert LISTED.allows(origin, "hub.example")


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "http://site.example",
        "https://site.example:8443",
        "https://site.example.evil.example",
        "https://evilsite.example",
        "https://www.site.example",
        "https://site.example/",
        "https://site.example@evil.example",
        "http://dev.example",
        "https://wide.example",
        "https://.wide.example",
        "https://evilwide.example",
        "http://a.wide.example",
        "https://a.wide.example:8443",
        "https://a.wide.example.evil.example",
        "https://evil.example/.wide.example",
        "https://evil.example?.wide.example",
        "https://evil.example#.wide.example",
        "https://evil.example\\.wide.example",
        "https://a.port.example",
        "https://hub.example:9000",
        "https://site.example https://evil.example",
        "https://site.example" + "a" * 9000,
    ],
)
def test_an_origin_that_is_not_listed_is_refused(origin: str) -> None:
    assert not LISTED.allows(origin, "hub.example")
    assert LISTED.cors(origin, "hub.example") == {"Vary": "Origin"}


def test_who_is_no_browser_is_allowed() -> None:
    assert Origins([]).allows(None, "hub.example")
    assert Origins([]).allows(None, None)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://localhost:8000", "LocalHost:8000"),
        ("https://hub.example", "hub.example"),
        ("https://hub.example", "hub.example:443"),
        ("http://hub.example", "hub.example:80"),
        ("https://hub.example:8443", "hub.example:8443"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_the_hubs_own_pages_are_allowed(origin: str, host: str) -> None:
    assert Origins([]).allows(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://hub.example", None),
        ("https://hub.example", ""),
        ("https://hub.example", "hub.example:8443"),
        ("https://hub.example", "other.example"),
        ("https://a.hub.example", "hub.example"),
        ("chrome-extension://hub.example", "hub.example"),
        ("null", "null"),
        ("https://hub.example", "hub.example/"),
        ("https://hub.example", "me@hub.example"),
    ],
)
def test_pages_of_others_are_not_the_hubs_own(origin: str, host: str | None) -> None:
    assert not Origins([]).allows(origin, host)


def test_a_star_allows_every_origin_the_opaque_one_too() -> None:
    anyone = Origins(["*", "https://site.example"])
    for origin in ("null", "https://whoever.example", "file://"):
        assert anyone.allows(origin, None)
        assert anyone.cors(origin, None) == {"Access-Control-Allow-Origin": "*"}
    assert anyone.cors(None, None) == {"Access-Control-Allow-Origin": "*"}


def test_an_allowed_origin_is_echoed_and_the_answer_varies_by_it() -> None:
    assert LISTED.cors("https://SITE.example", "hub.example") == {
        "Access-Control-Allow-Origin": "https://SITE.example",
        "Vary": "Origin",
    }
    assert LISTED.cors(None, "hub.example") == {"Vary": "Origin"}


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z.*:@/\[\]0-9]{0,30}", fullmatch=True))
def test_what_the_parser_takes_it_allows_and_no_text_makes_it_fail(text: str) -> None:
    assert isinstance(LISTED.allows(text, text), bool)
    try:
        normal = parse_origin(text)
    except ValueError:
        return
    assert parse_origin(normal) == normal
    assert Origins([text]).allows(text.replace("*", "sub") if "://" in text else text, None)


@given(st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,3}", fullmatch=True))
def test_a_wildcard_allows_names_below_it_alone(name: str) -> None:
    below = Origins(["https://*.wide.example"])
    assert below.allows(f"https://a.{name}.wide.example", None)
    assert not below.allows(f"https://{name}-wide.example", None)
    assert not below.allows(f"https://a.wide.example.{name}", None)
