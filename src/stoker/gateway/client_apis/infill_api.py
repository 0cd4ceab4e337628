"""llama.cpp's ``/infill``, served from OpenAI's completions. Pure.

Its form is that of llama.cpp's own answers, seen in b11549: ``content`` and ``stop``, in streams an
event for each piece and one at the end with the counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from stoker.gateway.api import openai_errors
from stoker.gateway.client_apis.client_api import header_names

#: Fields of llama.cpp's form, and what OpenAI's completions call them. The penalties and what cuts
#: off unlikely tokens are extensions that most servers share.
_FIELDS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repeat_penalty": "repetition_penalty",
    "model": "model",
    "stream": "stream",
    "user": "user",
}
#: Fields that are read elsewhere, or that ask for what is done anyway.
_TAKEN = frozenset(
    ("n_predict", "max_tokens", "max_completion_tokens", "cache_prompt", "stream_options")
)


def completion_request(
    body: Mapping[str, Any], max_tokens: int | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A completion without its prompt, and the names of the fields that it has no place for.

    ``max_tokens`` is the longest answer; ``None`` leaves it to the server.
    """
    given = {name: value for name, value in body.items() if value is not None}
    sent = {field: given[name] for name, field in _FIELDS.items() if name in given}
    if max_tokens is not None:
        sent["max_tokens"] = max_tokens
    if sent.get("stream"):
        sent["stream_options"] = {"include_usage": True}
    ignored = (name for name in given if name not in _FIELDS and name not in _TAKEN)
    return sent, header_names(ignored)


class InfillAnswers:
    """Answers of completions in the form of ``/infill``."""

    def __init__(self, model: str, prompt_tokens: int, *, truncated: bool) -> None:
        self._model = model
        self._prompt_tokens = prompt_tokens
        self._truncated = truncated

    def stream(self, _asked: object) -> InfillStream:
        """What translates one streamed answer."""
        return InfillStream(self)

    def whole(self, answer: Mapping[str, Any], _asked: object) -> dict[str, Any]:
        """A whole completion as an answer of ``/infill``."""
        choice = _choice(answer)
        return self.last(str(choice.get("text") or ""), choice, answer)

    def last(
        self, text: str, choice: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What ends an answer: its counts, and why it ends."""
        usage = answer.get("usage")
        usage = usage if isinstance(usage, Mapping) else {}
        read = usage.get("prompt_tokens") or self._prompt_tokens
        written = usage.get("completion_tokens") or 0
        is_cut_off = choice.get("finish_reason") == "length"
        timings = {"prompt_n": read, "predicted_n": written, **_timings(answer, usage, read)}
        return {
            "index": 0,
            "content": text,
            "stop": True,
            "model": self._model,
            "tokens_predicted": written,
            "tokens_evaluated": read,
            "truncated": self._truncated,
            "stop_type": "limit" if is_cut_off else "eos",
            "stopping_word": "",
            "timings": timings,
        }


class InfillStream:
    """One streamed answer of ``/infill``."""

    def __init__(self, answers: InfillAnswers) -> None:
        self._answers = answers
        self._choice: Mapping[str, Any] = {}
        self._answer: dict[str, Any] = {}

    def event(self, chunk: Mapping[str, Any]) -> bytes:
        """What one chunk of a completion becomes."""
        self._answer |= {name: chunk[name] for name in ("usage", "timings") if chunk.get(name)}
        choice = _choice(chunk)
        if choice.get("finish_reason"):
            self._choice = choice
        text = choice.get("text")
        return _event({"index": 0, "content": text, "stop": False}) if text else b""

    def end(self) -> bytes:
        """The end of an answer that is complete."""
        return _event(self._answers.last("", self._choice, self._answer))

    def error(self, message: str, code: str | None) -> bytes:
        """The end of an answer that broke off."""
        return b"data: " + openai_errors.body(message, kind="server_error", code=code) + b"\n\n"


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    return first if isinstance(first, Mapping) else {}


def _timings(answer: Mapping[str, Any], usage: Mapping[str, Any], read: int) -> dict[str, Any]:
    """What the server reports of its times, and of its cache."""
    given = answer.get("timings")
    known = dict(given) if isinstance(given, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    if isinstance(cached, int):
        known |= {"cache_n": cached, "prompt_n": max(0, read - cached)}
    return known


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
