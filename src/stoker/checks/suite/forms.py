"""Structured output, reasoning and images."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, NotSupported
from stoker.checks.target import (
    Endpoint,
    accepted,
    answered,
    choice,
    content,
    deltas,
    expect,
    message,
    optional,
    text_of,
    thought,
    usage,
)

structured = Table("structured", "Structured output")
reasoning = Table("reasoning", "Reasoning")
images = Table("images", "Images")
_MARKS = ("<think>", "</think>", "<|channel|>", "◁think▷")
_SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": ["fix", "feature"]},
        "breaking": {"type": "boolean"},
    },
    "required": ["kind", "breaking"],
    "additionalProperties": False,
}


@structured.check(
    "json-object",
    "`response_format: json_object` gives a JSON object.",
    why="Extensions ask for it where a program reads the answer.",
    fix="Optional. Constrain the answer, or refuse with 400; do not ignore it.",
    helps=(Use.COMMIT,),
)
def json_object(endpoint: Endpoint) -> str:
    question = 'Answer with this JSON object and nothing else: {"ok": true}'
    reply = endpoint.chat(question, response_format={"type": "json_object"}, max_tokens=64)
    answer = answered(optional(reply))
    text = content(answer).strip()
    if choice(answer).get("finish_reason") == "length" and text.startswith("{"):
        return "an object that 64 tokens did not end"
    return f"an object with {len(_object(text))} fields"


@structured.check(
    "json-schema",
    "`response_format: json_schema` gives what the schema describes.",
    why="Without it a program has to guess at the answer's form.",
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


@reasoning.check(
    "apart",
    "What a model thinks comes apart from what it says.",
    why="Otherwise the thoughts are shown as the answer, and sent back with every turn.",
    fix="vLLM: --reasoning-parser NAME. llama.cpp: --reasoning-format.",
    helps=(Use.CHAT, Use.AGENT, Use.COMMIT),
)
def apart(endpoint: Endpoint) -> str:
    said = message(answered(endpoint.chat("Is 91 a prime number?", max_tokens=64)))
    return _apart(str(said.get("content") or ""), thought(said))


@reasoning.check(
    "apart-stream",
    "It does in a stream too.",
    why="A stream is what is shown.",
    fix="As for reasoning.apart.",
    helps=(Use.CHAT, Use.AGENT),
)
def apart_stream(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.stream("Is 91 a prime number?", max_tokens=64))
    return _apart(text_of(reply), "".join(map(thought, deltas(reply))))


def _apart(text: str, thoughts: str) -> str:
    mark = next((mark for mark in _MARKS if mark in text), None)
    expect(mark is None, f"{mark} stands in the answer")
    if not thoughts:
        raise NotSupported("the model does not think aloud")
    return f"{len(thoughts)} characters of thought, apart"


@images.check(
    "accepted",
    "An image is read.",
    why="People paste screenshots into the chat.",
    fix="Optional. Serve a model that sees (and, with llama.cpp, its mmproj file).",
)
def image(endpoint: Endpoint) -> str:
    bare = usage(answered(endpoint.chat("Which colour is this?", max_tokens=1)))["prompt_tokens"]
    reply = endpoint.chat([_picture()], max_tokens=8)
    # llama.cpp says in words that it does not, with status 500.
    if "support" in reply.text.lower() and not reply.ok:
        raise NotSupported(f"refused with status {reply.status}: {reply.text}")
    seen = usage(answered(optional(reply)))["prompt_tokens"]
    expect(seen > bare + 3, f"{bare} prompt tokens without it, {seen} with it: it was dropped")
    return f"{seen - bare} prompt tokens for 64 x 64 points"


def _picture() -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(_red_png(64)).decode()}"
    return {
        "role": "user",
        "content": [
            {"type": "text", "text": "Which colour is this?"},
            {"type": "image_url", "image_url": {"url": url}},
        ],
    }


def _red_png(size: int) -> bytes:
    """A red square as a PNG (https://www.w3.org/TR/png-3/)."""

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\x00" + b"\xff\x00\x00" * size) * size
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    parts = part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
