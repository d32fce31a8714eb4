"""unique, rating and external kinds, reactions without identity, and the kinds of polls."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from hubs import Hub
from lanes import Start
from talk import Talk, talking
from web import bearer, check_problem

KINDS = """
[like]
rule = "toggle"
[view]
rule = "unique"
label = "Views"
[stars]
rule = "rating"
[comments]
rule = "external"
"""


@pytest.fixture(scope="session", params=["elsewhere"] if os.environ.get("CONFORMANCE_URL") else ["fast", "uvicorn"])
def lane(request: pytest.FixtureRequest) -> str:
    """Of each way to take a connection one: what is tested here is behind them."""
    return str(request.param)


@pytest.fixture(scope="module")
def hub(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with kinds of these rules, which this module's tests share."""
    path: Path = tmp_path_factory.mktemp("kinds") / "kinds.toml"
    path.write_text(KINDS)
    with start(kinds=path) as hub:
        yield hub


@pytest.fixture
async def web(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of that hub."""
    async with httpx.AsyncClient(base_url=hub.http, timeout=20, trust_env=False) as client:
        yield client


async def seen(web: httpx.AsyncClient, item: str, agent: str = "Browser/1") -> httpx.Response:
    """A view of somebody without identity."""
    body = {"item": item, "kind": "view", "value": 1}
    answer = await web.post("/v1/reactions", json=body, headers={"User-Agent": agent})
    assert answer.status_code == 200, answer.text
    return answer


async def test_the_config_names_the_rules_and_a_ratings_parts_and_no_hidden_kind(web: httpx.AsyncClient) -> None:
    kinds = (await web.get("/v1/config")).json()["kinds"]
    assert list(kinds) == ["like", "view", "stars", "comments"]
    assert kinds["view"]["rule"] == "unique" and kinds["view"].get("approximate", 0) >= 0
    assert kinds["comments"]["rule"] == "external"
    assert kinds["stars"] == {
        "rule": "rating",
        "max": 5,
        "label": "Stars",
        "emoji": "",
        "parts": ["stars-1", "stars-2", "stars-3", "stars-4", "stars-5"],
    }


async def test_whoever_has_no_identity_counts_once(reader: Talk, web: httpx.AsyncClient, item: str) -> None:
    await reader.subscribe(item)
    for _ in range(3):
        ack = await reader.react(item, "view", 1)
        assert (ack["counts"], ack.get("mine", {})) == ({"view": 1}, {})
    assert (await seen(web, item, "Browser/1")).json()["counts"] == {"view": 2}
    assert (await seen(web, item, "Browser/1")).json()["counts"] == {"view": 2}
    assert (await seen(web, item, "Browser/2")).json()["counts"] == {"view": 3}
    assert (await reader.counts(item, lambda counts: counts == {"view": 3}))["ev"] == "counts"


async def test_the_socket_and_http_take_one_browser_for_one_person(hub: Hub, web: httpx.AsyncClient, item: str) -> None:
    async with talking(hub.live, user_agent_header="Browser/3") as talk:
        assert (await talk.react(item, "view", True))["counts"] == {"view": 1}
    assert (await seen(web, item, "Browser/3")).json()["counts"] == {"view": 1}


async def test_somebody_with_an_identity_counts_once_wherever_they_are(
    hub: Hub, user: Talk, actor: str, web: httpx.AsyncClient, item: str
) -> None:
    ack = await user.react(item, "view", 1, seq=5)
    assert (ack["counts"], ack["mine"]) == ({"view": 1}, {})
    body = {"item": item, "kind": "view", "value": 1}
    answer = await web.post("/v1/reactions", json=body, headers=bearer(hub, actor))
    assert (answer.json()["counts"], answer.json()["mine"]) == ({"view": 1}, {})


async def test_a_view_is_not_taken_back(user: Talk, reader: Talk, item: str) -> None:
    for talk in (user, reader):
        for value in (0, False, 2, None):
            assert (await talk.ask("react", item=item, kind="view", value=value))["code"] == "bad_value"


async def test_nothing_else_goes_without_identity(reader: Talk, web: httpx.AsyncClient, item: str) -> None:
    for kind in ("like", "stars", "comments", "nothing", None):
        assert (await reader.ask("react", item=item, kind=kind, value=1))["code"] == "unauthenticated"
        answer = await web.post("/v1/reactions", json={"item": item, "kind": kind, "value": 1})
        check_problem(answer, 401, "unauthenticated")


async def test_a_rating_is_one_of_its_parts_and_moves_between_them(hub: Hub, user: Talk, item: str) -> None:
    async with talking(hub.live, hub.token(f"u:{uuid4().hex}")) as other:
        assert (await other.react(item, "stars", 5))["counts"] == {"stars-5": 1}
        ack = await user.react(item, "stars", 4, seq=10)
        assert (ack["counts"], ack["mine"]) == ({"stars-4": 1, "stars-5": 1}, {"stars-4": 1})
        ack = await user.react(item, "stars", 5, seq=11)
        assert (ack["counts"], ack["mine"]) == ({"stars-5": 2}, {"stars-5": 1})
        ack = await user.react(item, "stars", 0, seq=12)
        assert (ack["counts"], ack["mine"]) == ({"stars-5": 1}, {})
        late = await user.react(item, "stars", 3, seq=11)
        assert (late["counts"], late["mine"]) == ({"stars-5": 1}, {})


@pytest.mark.parametrize("value", [6, -1, 4.5, True, "4", None])
async def test_a_rating_is_a_whole_number_of_stars(user: Talk, item: str, value: object) -> None:
    assert (await user.ask("react", item=item, kind="stars", value=value))["code"] == "bad_value"


async def test_a_ratings_parts_are_not_to_be_said_by_name(user: Talk, item: str) -> None:
    assert (await user.ask("react", item=item, kind="stars-4", value=1))["code"] == "unknown_kind"


async def test_a_number_of_the_sites_own_is_not_for_clients(user: Talk, item: str) -> None:
    for value in (1, 0, None):
        assert (await user.ask("react", item=item, kind="comments", value=value))["code"] == "forbidden"


async def test_the_hubs_own_names_are_nobody_elses(hub: Hub, reader: Talk, web: httpx.AsyncClient, item: str) -> None:
    forged = hub.token("~start:like")
    assert (await reader.ask("auth", token=forged))["code"] == "bad_token"
    body = {"item": item, "kind": "like", "value": 1}
    answer = await web.post("/v1/reactions", json=body, headers={"Authorization": f"Bearer {forged}"})
    check_problem(answer, 401, "bad_token")


async def test_votes_are_for_polls_alone(user: Talk, item: str) -> None:
    for kind in ("option-1", "choice-10"):
        assert (await user.ask("react", item=item, kind=kind, value=1))["code"] == "unknown_kind"
    assert (await user.ask("react", item=f"poll:{uuid4().hex}", kind="like", value=1))["code"] == "unknown_kind"
