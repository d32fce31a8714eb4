"""The document of the administrator's API: valid, whole, and true of what a hub answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis import GenerationMode, checks
from schemathesis.core.result import Ok
from starlette.routing import Route

from admin.conftest import Run
from admin.scene import opened
from described import Described
from hubs import OwnHub
from tallycast.access import RIGHTS
from tallycast.routes.admin.openapi import document, merged

DOCUMENT: dict[str, Any] = json.loads(document())
DESCRIBED = Described(DOCUMENT)
ENDLESS = "/v1/admin/changes"  # a stream that goes on until the reader goes
METHODS = ("get", "put", "post", "patch", "delete")
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]

OPERATIONS = [
    (method, path, operation)
    for path, its in DOCUMENT["paths"].items()
    for method, operation in its.items()
    if method in METHODS
]


def test_the_fragments_make_one_valid_document() -> None:
    validate(DOCUMENT)
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids)) > 20


def test_two_fragments_that_say_the_same_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "openapi").mkdir(exist_ok=True)
        (tmp_path / "openapi" / f"{name}.json").write_text('{"paths":{"/v1/admin/x":{}}}')
    monkeypatch.setattr("tallycast.routes.admin.openapi.resources.files", lambda _: tmp_path)
    with pytest.raises(ValueError, match=r"b\.json describes again .*: /v1/admin/x"):
        merged()


def test_every_example_is_of_its_schema() -> None:
    found = list(DESCRIBED.examples())
    assert len(found) > 20
    assert [problem for schema, example in found for problem in DESCRIBED.problems_of(schema, example)] == []


async def test_every_route_and_method_is_described_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        served = {
            (method.lower(), route.path.replace(":path}", "}"))
            for route in hub.app.routes
            if isinstance(route, Route) and route.path.startswith("/v1/admin/")
            for method in (route.methods or set()) - {"HEAD"}
        }
        answer = await hub.web.get("/v1/admin/openapi.json")
    assert served == {(method, path) for method, path, _ in OPERATIONS}
    assert answer.json() == DOCUMENT
    assert answer.headers["cache-control"] == "no-store"


def test_every_operation_says_which_right_it_needs() -> None:
    free = {"readAdminOpenApi", "readOwnKey"}
    said = re.compile(rf"\b[Rr]ight `({'|'.join(RIGHTS)})`")
    assert [
        operation["operationId"]
        for _, _, operation in OPERATIONS
        if operation["operationId"] not in free and not said.search(operation.get("description", ""))
    ] == []


schemathesis.serializer.alias("application/x-ndjson", "text/plain")


def check_all(hub: OwnHub, key: str, mode: GenerationMode) -> int:
    """Send a request to every operation, all of them as described or all of them not; how many there were."""
    sent = 0
    with requests.Session() as session:
        session.trust_env = False
        for operation in schemathesis.openapi.from_dict(DOCUMENT).exclude(path=ENDLESS).get_all_operations():
            assert isinstance(operation, Ok), operation
            try:
                cases = operation.ok().as_strategy(generation_mode=mode)

                @settings(
                    max_examples=1,
                    deadline=None,
                    derandomize=True,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                @given(case=cases)
                def answers_as_described(case: schemathesis.Case[Any]) -> None:
                    nonlocal sent
                    sent += 1
                    case.call_and_validate(
                        base_url=hub.http, session=session, headers={"Authorization": key}, checks=CHECKS
                    )

                answers_as_described()
            except Unsatisfiable:
                pass  # nothing that could be sent to it is against its description
    return sent


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_a_hub_answers_anything_as_described(mode: GenerationMode, on_file: Run) -> None:
    """Whatever is sent, also what the document forbids: no defect, and an answer that the document knows."""
    assert check_all(on_file.hubs[0], on_file.webs[0].headers["Authorization"], mode) > len(OPERATIONS) // 2
