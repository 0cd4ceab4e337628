"""Completions and fill-in-the-middle for inline completion, and embeddings for search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, NotSupported
from stoker.checks.raw_http import Reply
from stoker.checks.target import (
    Endpoint,
    accepted,
    after_pieces,
    answered,
    choice,
    expect,
    optional,
    usage,
)

completions = Table("completion", "Completions and fill-in-the-middle")
embeddings = Table("embeddings", "Embeddings")
_PATH = "/v1/completions"
_BEFORE = "def add(a, b):\n    return "
_AFTER = "\n\ndef subtract(a, b):\n    return a - b\n\nprint(add(1, 2), subtract(2, 1))\n"


@completions.check(
    "answers",
    "/v1/completions continues a text.",
    why="Inline completion uses it, because no chat template surrounds the code there.",
    fix="Optional. vLLM and llama.cpp have it.",
    needed_for=(Use.COMPLETION,),
)
def answers(endpoint: Endpoint) -> str:
    answer = answered(optional(endpoint.post(_PATH, _request(endpoint))))
    text = choice(answer).get("text")
    expect(isinstance(text, str) and text, f"the text is {text!r}")
    return f"{usage(answer)['completion_tokens']} tokens"


@completions.check(
    "stream",
    "/v1/completions streams its answer.",
    why="The editor shows the first line before the rest is generated.",
    fix="Optional. Send `choices[0].text` in each event.",
    helps=(Use.COMPLETION,),
)
def stream(endpoint: Endpoint) -> str:
    reply = accepted(optional(endpoint.post(_PATH, _request(endpoint, stream=True))))
    parts = [part for chunk in reply.chunks() for part in chunk.get("choices") or []]
    expect(any(part.get("text") for part in parts), "the stream brought no text")
    return f"{len(parts)} events"


@completions.check(
    "suffix",
    "The text after the cursor (`suffix`) is read, or refused.",
    why="If it is ignored, completions repeat the code that follows the cursor.",
    fix="Optional. Refuse `suffix` with 400 where the model has no fill-in-the-middle.",
    helps=(Use.COMPLETION,),
)
def suffix(endpoint: Endpoint) -> str:
    bare = usage(answered(optional(endpoint.post(_PATH, _request(endpoint)))))["prompt_tokens"]
    reply = optional(endpoint.post(_PATH, _request(endpoint, suffix=_AFTER)))
    filled = usage(answered(reply))["prompt_tokens"]
    expect(filled > bare + 8, f"{bare} prompt tokens without it, {filled} with it: it is ignored")
    return f"{filled - bare} more prompt tokens"


@completions.check(
    "infill",
    "POST /infill completes the text between a prefix and a suffix.",
    why="Several extensions use this llama.cpp API for fill-in-the-middle.",
    fix="Optional. Serve a code model with llama.cpp.",
    helps=(Use.COMPLETION,),
)
def infill(endpoint: Endpoint) -> str:
    body = {"input_prefix": _BEFORE, "input_suffix": _AFTER, "n_predict": 8, "temperature": 0}
    answer = answered(optional(endpoint.post("/infill", body)))
    expect(isinstance(answer.get("content"), str), "the answer has no content")
    return f"{len(answer['content'])} characters"


@completions.check(
    "leave",
    "A client can disconnect in the middle of a completion.",
    why="Every key press makes the completion that is under way useless.",
    fix="Stop generating when the connection closes.",
    helps=(Use.COMPLETION,),
)
def leave(endpoint: Endpoint) -> str:
    body = _request(endpoint, stream=True, max_tokens=200)
    left = optional(endpoint.post(_PATH, body, until=after_pieces(2)))
    expect(left.ok, f"status {left.status}")
    reply = endpoint.post(_PATH, _request(endpoint, max_tokens=1))
    expect(reply.ok, f"the next request got status {reply.status}: {reply.text}")
    return f"the next request was answered in {reply.elapsed_s:.2f} s"


def _request(endpoint: Endpoint, **fields: Any) -> Mapping[str, Any]:
    body = {"model": endpoint.model, "prompt": _BEFORE, "max_tokens": 8, "temperature": 0}
    return {**body, **fields}


@embeddings.check(
    "vector",
    "/v1/embeddings returns a vector for each text.",
    why="Semantic search in a workspace needs it.",
    fix="Optional. Serve an embedding model beside this one.",
)
def vector(endpoint: Endpoint) -> str:
    reply: Reply = endpoint.post(
        "/v1/embeddings", {"model": endpoint.model, "input": ["one", "two"]}
    )
    data = answered(optional(reply)).get("data")
    if not isinstance(data, list) or len(data) != 2:
        raise Failed("the answer does not have two vectors")
    sizes = {len(item.get("embedding") or []) for item in data}
    if sizes == {0}:
        raise NotSupported("the vectors are empty")
    expect(len(sizes) == 1, f"the vectors have different lengths: {sizes}")
    return f"{sizes.pop()} numbers each"
