"""Fill-in-the-middle on Ollama: a raw prompt at its own ``/api/generate``.

``/v1/completions`` puts every prompt into the model's template, which a written prompt must not be
put into. Source: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-completion.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stoker.engines.base import InfillApi, NativeCompletions
from stoker.engines.ollama.ollama_tokenizer import tokenizer

#: Fields of OpenAI's completions, and what Ollama calls them among its options.
_OPTIONS = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repetition_penalty": "repeat_penalty",
}
#: Fields that are taken otherwise, or that change nothing.
_TAKEN = frozenset(("model", "prompt", "stream", "stream_options", "user"))
_NS_PER_MS = 1_000_000


def request(body: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The request in Ollama's form, and what it has no place for."""
    given = {name: value for name, value in body.items() if value is not None}
    options = {own: given[name] for name, own in _OPTIONS.items() if name in given}
    sent = {
        "model": given["model"],
        "prompt": given["prompt"],
        "raw": True,
        "stream": bool(given.get("stream")),
        "options": options,
    }
    ignored = tuple(name for name in given if name not in _OPTIONS and name not in _TAKEN)
    return sent, ignored


def whole(answer: Mapping[str, Any]) -> dict[str, Any]:
    """A whole answer as one of OpenAI's completions."""
    return {**_chunk(answer, _finish(answer)), **_report(answer)}


def _chunk(answer: Mapping[str, Any], finish: str | None) -> dict[str, Any]:
    text = str(answer.get("response") or "")
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {
        "id": "cmpl-ollama",
        "object": "text_completion",
        "created": 0,
        "model": str(answer.get("model") or ""),
        "choices": [choice],
    }


def _finish(answer: Mapping[str, Any]) -> str:
    return "length" if answer.get("done_reason") == "length" else "stop"


def _report(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens and times. What of a prompt was in its cache it does not report."""
    prompt, written = (_count(answer, f"{name}eval_count") for name in ("prompt_", ""))
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
    }
    timings = {
        "prompt_ms": _count(answer, "prompt_eval_duration") / _NS_PER_MS,
        "predicted_n": written,
        "predicted_ms": _count(answer, "eval_duration") / _NS_PER_MS,
    }
    return {"usage": usage, "timings": timings}


def _count(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


class OllamaStream:
    """A streamed answer, which has one JSON object a line, as server-sent events."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The events for all lines that are whole."""
        *lines, self._held = (self._held + data).split(b"\n")
        return b"".join(map(_events, filter(None, map(bytes.strip, lines))))


def _events(line: bytes) -> bytes:
    try:
        answer = json.loads(line)
    except ValueError:
        return _event({"error": {"message": "The server's answer is not JSON.", "code": None}})
    if not isinstance(answer, dict):
        return b""
    if "error" in answer:
        return _event({"error": {"message": str(answer["error"]), "code": None}})
    if not answer.get("done"):
        return _event(_chunk(answer, None))
    report = {**_chunk(answer, None), "choices": [], **_report(answer)}
    return _event(_chunk(answer, _finish(answer))) + _event(report) + b"data: [DONE]\n\n"


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


INFILL = InfillApi(
    tokenizer=tokenizer,
    takes_ids=False,
    path="/api/generate",
    # It has no limit of its own; more would be compared with every token.
    most_stops=8,
    native=NativeCompletions(request=request, whole=whole, stream=OllamaStream),
)
