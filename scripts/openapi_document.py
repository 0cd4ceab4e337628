"""Write the gateway's OpenAPI document from contract/gateway-api.json and the table of paths.

``python -m scripts.openapi_document`` writes the file that the gateway serves at /openapi.json; a
test fails while it is not the newest. What OpenAI and Anthropic define is left to them: those
bodies are objects here, with the fields that the gateway itself reads.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from scripts.doc_tables import PATHS

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = ROOT / "contract" / "gateway-api.json"
DOCUMENT = ROOT / "src" / "stoker" / "gateway" / "api" / "openapi.json"

Schema = dict[str, Any]

#: The schemas of requests and answers, by path, where the contract has them.
_REQUESTS = {"POST /tokenize": "TokenizeRequest", "POST /fit": "FitRequest"}
_ANSWERS = {
    "GET /v1/models": "ModelList",
    "GET /v1/models/{model}": "Model",
    "GET /info": "Info",
    "POST /tokenize": "TokenizeAnswer",
    "POST /fit": "FitAnswer",
}
#: Requests of other people's APIs: what the gateway needs of them.
_FOREIGN = {
    "POST /v1/chat/completions": ("model", "messages"),
    "POST /v1/completions": ("model", "prompt"),
    "POST /v1/embeddings": ("model", "input"),
    "POST /v1/responses": ("model", "input"),
    "POST /v1/responses/input_tokens": ("model", "input"),
    "POST /v1/messages": ("model", "messages"),
    "POST /v1/messages/count_tokens": ("model", "messages"),
    "POST /infill": ("input_prefix", "input_suffix"),
}
_STREAMED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/infill")
_KEYLESS = ("/", "/health", "/ready", "/openapi.json")
_KINDS: dict[str, Schema] = {
    "messages": {"type": "array", "items": {"type": "object"}},
    "prompt": {},
    "input": {},
}
_HEADERS = (
    ("x-stoker-fit", "`off` turns fitting off for this request."),
    ("x-stoker-priority", "`utility` lets chat turns go first."),
)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def document() -> Schema:
    """The whole document, as OpenAPI 3.1 has it."""
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))
    paths: dict[str, Schema] = {}
    for row, does in PATHS.items():
        method, _, path = row.partition(" ")
        if not path.startswith("/ui"):  # pages for people
            paths.setdefault(path, {})[method.lower()] = _operation(row, path, does)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": contract["title"],
            "version": "1",
            "description": "The gateway of Stoker: the paths of OpenAI and Anthropic in front of "
            "models that you host yourself, and what it reports of them.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}, {}],
        "paths": paths,
        "components": {
            "schemas": _for_generators(
                json.loads(
                    json.dumps(contract["$defs"]).replace("#/$defs/", "#/components/schemas/")
                )
            ),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _for_generators(schema: Any) -> Any:
    """The schema without what generators of clients stumble over (openapi-python-client 0.29).

    Alternatives that only require fields leave them no type for the object, and a constant number
    gives code that Python warns of.
    """
    if isinstance(schema, list):
        return [_for_generators(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _for_generators(each) for name, each in schema.items()}
    if "properties" in kept and all(each.keys() == {"required"} for each in kept.get("anyOf", ())):
        kept.pop("anyOf", None)
    if isinstance(kept.get("const"), int):
        kept = {**kept, "type": "integer", "enum": [kept.pop("const")]}
    return kept


def _operation(row: str, path: str, does: str) -> Schema:
    method = row.partition(" ")[0].lower()
    summary = _LINK.sub(r"\1", does)
    operation: Schema = {
        "operationId": _name(method, path),
        "summary": summary.partition(". ")[0].rstrip("."),
        "description": summary,
        "responses": {"200": _answer(row, path)},
    }
    if path in _KEYLESS:
        operation["security"] = [{}]
    else:
        operation["responses"]["default"] = _json(
            "An error.", {"$ref": "#/components/schemas/Error"}
        )
    parameters = [_parameter(name, "path", "") for name in re.findall(r"\{(\w+)\}", path)]
    if row in _FOREIGN:
        parameters += [_parameter(name, "header", text) for name, text in _HEADERS]
    if parameters:
        operation["parameters"] = parameters
    if method == "post":
        operation["requestBody"] = _json("The request.", _request(row), required=True)
    return operation


def _name(method: str, path: str) -> str:
    words = re.findall(r"[a-z]+", path.replace("/v1", ""))
    return "_".join([method, *words]) if words else f"{method}_root"


def _parameter(name: str, place: str, description: str) -> Schema:
    found: Schema = {"name": name, "in": place, "schema": {"type": "string"}}
    if place == "path":
        return {**found, "required": True}
    return {**found, "description": description}


def _request(row: str) -> Schema:
    if row in _REQUESTS:
        return {"$ref": f"#/components/schemas/{_REQUESTS[row]}"}
    fields = _FOREIGN[row]
    return {
        "type": "object",
        "properties": {name: _KINDS.get(name, {"type": "string"}) for name in fields},
        "required": list(fields),
        "additionalProperties": True,
    }


def _answer(row: str, path: str) -> Schema:
    if row == "GET /metrics":
        return {"description": "Prometheus's text.", "content": {"text/plain": {"schema": {}}}}
    name = _ANSWERS.get(row)
    schema = {"$ref": f"#/components/schemas/{name}"} if name else {"type": "object"}
    answer = _json("The answer.", schema)
    if path in _STREAMED:
        answer["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return answer


def _json(description: str, schema: Schema, **more: Any) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}, **more}


if __name__ == "__main__":
    DOCUMENT.write_text(json.dumps(document(), indent=1) + "\n", encoding="utf-8")
