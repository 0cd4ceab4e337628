"""``/openapi.json`` is valid, names every path, and is what the contract says now."""

from __future__ import annotations

import json
import re
from typing import Any

from openapi_spec_validator import validate
from scripts import openapi_document
from tests.unit.gateway.test_model_entries import CODER, serving

from stoker.gateway import Gateway


async def served() -> dict[str, Any]:
    """The document as anybody gets it, without a key."""
    async with (
        serving(CODER) as (door, _, _),
        door.http.get(door.url + "/openapi.json") as response,
    ):
        assert response.status == 200
        found: dict[str, Any] = await response.json()
        return found


async def test_it_is_a_valid_document_of_openapi_3_1() -> None:
    document = await served()
    validate(document)
    assert document["openapi"] == "3.1.0"


async def test_it_is_the_newest() -> None:
    """Else: python -m scripts.openapi_document."""
    assert await served() == json.loads(json.dumps(openapi_document.document()))


async def test_it_has_every_path_but_the_pages_for_people() -> None:
    document = await served()
    described = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    routes = Gateway().application().routes
    answered = {f"{route.method} {route.path}" for route in routes if route.method != "HEAD"}
    assert described == {row for row in answered if not re.search(r" /ui\b", row)}


async def test_operations_have_names_of_their_own_and_requests_the_fields_they_need() -> None:
    operations = [o for p in (await served())["paths"].values() for o in p.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        body = operation.get("requestBody")
        if body is not None:
            assert body["required"]
