"""Structured output: answers that fit ``response_format``."""

from __future__ import annotations

import json
from typing import Any

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed
from stoker.checks.target import Endpoint, answered, choice, content, expect, optional

table = Table("structured", "Structured output")
_SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": ["fix", "feature"]},
        "breaking": {"type": "boolean"},
    },
    "required": ["kind", "breaking"],
    "additionalProperties": False,
}


@table.check(
    "json-object",
    "`response_format: json_object` gives a JSON object.",
    why="Extensions use it where a program reads the answer.",
    fix="Optional. Constrain the answer, or refuse with 400; do not ignore it.",
    helps=(Use.COMMIT,),
)
def json_object(endpoint: Endpoint) -> str:
    question = 'Answer with this JSON object and nothing else: {"ok": true}'
    reply = endpoint.chat(question, response_format={"type": "json_object"}, max_tokens=64)
    answer = answered(optional(reply))
    text = content(answer).strip()
    if choice(answer).get("finish_reason") == "length" and text.startswith("{"):
        return "an object that is longer than 64 tokens"
    return f"an object with {len(_object(text))} fields"


@table.check(
    "json-schema",
    "`response_format: json_schema` gives JSON that fits the schema.",
    why="Without it a program can't rely on the answer's format.",
    fix="Optional. Constrain the answer by the schema, or refuse with 400; do not ignore it.",
    helps=(Use.AGENT,),
)
def json_schema(endpoint: Endpoint) -> str:
    form = {"name": "change", "schema": _SCHEMA, "strict": True}
    reply = endpoint.chat(
        "Classify this change: 'correct a typing error'.",
        response_format={"type": "json_schema", "json_schema": form},
        max_tokens=96,
    )
    found = _object(content(answered(optional(reply))))
    expect(set(found) == {"kind", "breaking"}, f"the fields are {sorted(found)}")
    expect(found["kind"] in ("fix", "feature"), f"kind is {found['kind']!r}")
    expect(isinstance(found["breaking"], bool), f"breaking is {found['breaking']!r}")
    return json.dumps(found)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        raise Failed(f"the answer is not JSON: {text[:120]!r}") from None
    if not isinstance(value, dict):
        raise Failed(f"the answer is not an object: {text[:120]!r}")
    return value
