"""docs/recipes: what is Python there runs, against a real hub; what cannot run here is at least what it says it is."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from hubs import SECRET, OwnHub, running
from polling import make_key
from tallycast.alerts.webhooks import new_secret, sign

RECIPES = Path(__file__).parent.parent / "docs" / "recipes"
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
KINDS = '[like]\nrule = "toggle"\n[comments]\nrule = "external"\n'
WEBHOOK_SECRET = new_secret()
BODY = b'{"type":"alert.count","timestamp":"2026-11-22T18:00:00Z","data":{"item":"post:1","text":"1,000"}}'


def blocks(page: str, language: str) -> list[str]:
    """The page's examples in a language."""
    return [text for of, text in BLOCK.findall((RECIPES / page).read_text("utf-8")) if of == language]


PAGES = sorted(page.name for page in RECIPES.glob("*.md"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    directory = tmp_path_factory.mktemp("recipes")
    (directory / "kinds.toml").write_text(KINDS)
    with running(directory, kinds=directory / "kinds.toml") as hub:
        yield hub


Load = Callable[[str, str], ModuleType]


@pytest.fixture
def load(hub: OwnHub, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Runs an example as the module of that name, beside hub.py, in a site's environment."""
    key = asyncio.run(make_key(str(hub.settings["store"]), "read", "write"))
    environ = {
        "HUB": hub.http,
        "TALLYCAST_SECRET": SECRET,
        "TALLYCAST_KEY": key,
        "TALLYCAST_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "GHOST": "https://www.example.com",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def load(name: str, text: str) -> ModuleType:
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(text, name, "exec"), module.__dict__)
        return module

    load("hub", blocks("README.md", "python")[0])
    return load


def counts(hub: OwnHub, item: str) -> dict[str, int]:
    found: dict[str, int] = httpx.get(f"{hub.http}/v1/counts", params={"item": item}).json()["items"][0]["counts"]
    return found


def react(hub: OwnHub, token: str, item: str) -> dict[str, Any]:
    body = {"item": item, "kind": "like", "value": 1}
    answer = httpx.post(f"{hub.http}/v1/reactions", json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    ack: dict[str, Any] = answer.json()
    return ack


@pytest.mark.parametrize("page", PAGES)
def test_what_is_python_json_or_a_shell_is_so(page: str) -> None:
    for text in blocks(page, "python"):
        ast.parse(text)
    for text in blocks(page, "json"):
        for line in text.splitlines():
            json.loads(line)
    for text in blocks(page, "sh"):
        checked = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
        assert checked.stderr == ""
    languages = {language for language, _ in BLOCK.findall((RECIPES / page).read_text("utf-8"))}
    assert languages <= {"python", "json", "sh", "php", "html", "handlebars", "go-html-template", "django", ""}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target, anchor in LINK.findall((RECIPES / page).read_text("utf-8")):
        file = RECIPES / (target or page)
        assert file.is_file(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, anchor


def test_a_token_of_the_recipe_is_a_user_of_the_hub(hub: OwnHub, load: Load) -> None:
    token = sys.modules["hub"].user_token("42")
    assert react(hub, token, "post:token")["mine"] == {"like": 1}


def test_numbers_of_the_site_show_on_the_item(hub: OwnHub, load: Load) -> None:
    set_numbers = sys.modules["hub"].set_numbers
    for n in (7, 7, 5):
        set_numbers("blog/a b:1".replace(" ", "%20"), comments=n)
        assert counts(hub, "blog/a%20b:1") == {"comments": n}


def test_changes_are_followed_from_a_position(hub: OwnHub, load: Load) -> None:
    recipe: Any = sys.modules["hub"]
    first = next(recipe.follow())
    assert first["changes"] == []
    acks = [react(hub, recipe.user_token(str(n)), "post:follow") for n in range(3)]
    told = []
    for line in recipe.follow(first["id"]):
        told += line["changes"]
        if len(told) == 3:
            break
    assert told == [{"item": "post:follow", "v": ack["v"], "by": {"like": 1}} for ack in acks]
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        next(recipe.follow("17"))


def signed(body: bytes = BODY, at_s: int | None = None) -> dict[str, str]:
    return sign(WEBHOOK_SECRET, "msg_1", int(time.time()) if at_s is None else at_s, body)


async def test_the_app_for_fastapi_shows_pages_sets_numbers_and_takes_webhooks(
    hub: OwnHub, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    app = load("app", blocks("fastapi.md", "python")[0]).app
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site") as site:
        page = await site.get("/posts/1", headers={"X-User": "42"})
        token = re.search(r'token="([^"]+)"', page.text)
        assert token
        assert react(hub, token[1], "post:1")["mine"] == {"like": 1}
        assert "no-store" in page.headers["cache-control"]
        assert "token" not in (await site.get("/posts/1")).text
        for text in ("a", "b"):
            assert (await site.post("/posts/1/comments", params={"text": text})).status_code == 201
        assert counts(hub, "post:1") == {"like": 1, "comments": 2}
        assert (await site.post("/hooks/tallycast", content=BODY, headers=signed())).status_code == 204
        for headers, body in ((signed(), BODY + b" "), (signed(at_s=1_700_000_000), BODY), ({}, BODY)):
            assert (await site.post("/hooks/tallycast", content=body, headers=headers)).status_code == 401
    assert capsys.readouterr().out == "alert.count post:1 1,000\n"


def test_the_code_for_zapier_knows_the_hubs_signature(load: Load) -> None:
    checked = load("zap", blocks("zapier.md", "python")[0]).checked

    def step(headers: dict[str, str], body: bytes) -> Any:
        names = ("id", "timestamp", "signature")
        return checked(
            {"secret": WEBHOOK_SECRET, "body": body.decode(), **{name: headers[f"webhook-{name}"] for name in names}}
        )

    assert step(signed(), BODY) == {"item": "post:1", "text": "1,000"}
    assert Webhook(WEBHOOK_SECRET).verify(BODY, signed()), "which is that of the standard"
    for headers, body in ((signed(), BODY + b" "), (signed(at_s=1_700_000_000), BODY)):
        with pytest.raises(ValueError, match="not from the hub"):
            step(headers, body)


async def test_the_service_for_ghost_exchanges_a_members_token(
    hub: OwnHub, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jwt
    from cryptography.hazmat.primitives.asymmetric import rsa

    recipe: Any = load("tokens", blocks("ghost.md", "python")[0])
    ghosts, strangers = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(ghosts.public_key())) | {"kid": "k1", "use": "sig"}
    monkeypatch.setattr(recipe.keys, "fetch_data", lambda: {"keys": [public]})
    issuer = "https://www.example.com/members/api"
    claims = {"sub": "ann@example.com", "iss": issuer, "aud": issuer, "exp": int(time.time()) + 600}

    async with httpx.AsyncClient(transport=httpx.ASGITransport(recipe.app), base_url="http://tokens") as service:

        async def ask(session: str) -> httpx.Response:
            return await service.post("/tally-token", json={"session": session})

        session = jwt.encode(claims, ghosts, "RS512", headers={"kid": "k1"})
        answers = [(await ask(session)).json()["token"] for _ in range(2)]
        assert react(hub, answers[0], "ghost:1")["counts"] == {"like": 1}
        assert react(hub, answers[1], "ghost:1")["counts"] == {"like": 1}, "the same member each time"
        assert "ann" not in jwt.decode(answers[0], options={"verify_signature": False})["sub"]
        for wrong in (
            jwt.encode(claims, strangers, "RS512", headers={"kid": "k1"}),
            jwt.encode({**claims, "aud": "other"}, ghosts, "RS512", headers={"kid": "k1"}),
            jwt.encode(claims, SECRET, "HS256", headers={"kid": "k1"}),
            "",
        ):
            assert (await ask(wrong)).status_code == 401
