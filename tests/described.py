"""An OpenAPI document, as the tests of one look into it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openapi_schema_validator import OAS31Validator


class Described:
    """What a `document` says."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        """What a reference within the document stands for."""
        while "$ref" in node:
            found: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def problems_of(self, schema: dict[str, Any], instance: object) -> list[str]:
        """What is wrong with an instance, by a schema that may refer into the document."""
        validator = OAS31Validator({**schema, "components": self.document["components"]})
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(instance)]

    def examples(self) -> Iterator[tuple[dict[str, Any], object]]:
        """Every (schema, example) of the document."""
        return self._examples(self.document)

    def _examples(self, node: object) -> Iterator[tuple[dict[str, Any], object]]:
        if isinstance(node, dict):
            if "schema" in node:
                if "example" in node:
                    yield node["schema"], node["example"]
                for one in node.get("examples", {}).values():
                    yield node["schema"], self.resolve(one)["value"]
            for value in node.values():
                yield from self._examples(value)
        elif isinstance(node, list):
            for value in node:
                yield from self._examples(value)
