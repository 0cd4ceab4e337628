"""Read what a chat's answer holds: a chunk of its stream, or the whole of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_PARTS = ("delta", "message")
#: Where servers put a model's thinking (``relay/normal_message.py``).
_THOUGHT = ("reasoning_content", "reasoning")
#: Where servers name the stop sequence that ended the answer: vLLM, SGLang. Both have a token's
#: number there, too.
_MATCHED = ("stop_reason", "matched_stop")
_NOTHING: Mapping[str, Any] = {}


def first_choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The choice of number 0; empty where there is none."""
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            return choice
    return _NOTHING


def part_of(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """The delta of a chunk's choice, or the message of a whole one."""
    for name in _PARTS:
        if name in choice and isinstance(choice[name], dict):
            part: Mapping[str, Any] = choice[name]
            return part
    return _NOTHING


def text_in(part: Mapping[str, Any]) -> str:
    """Its text, or the one with which it refuses."""
    content = part.get("content") or part.get("refusal")
    return content if isinstance(content, str) else ""


def thought_in(part: Mapping[str, Any]) -> str:
    """Its thinking."""
    return _first_text(part, _THOUGHT) or ""


def calls_in(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Its calls, each whole, with ``id`` and ``function``."""
    calls = part.get("tool_calls")
    if not isinstance(calls, list):
        return []
    return [c for c in calls if isinstance(c, dict) and isinstance(c.get("function"), dict)]


def matched_stop(choice: Mapping[str, Any]) -> str | None:
    """The stop sequence that ended the answer, where the server names it."""
    return _first_text(choice, _MATCHED)


def usage_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The usage in a chunk or a whole answer; empty where it has none."""
    usage = answer.get("usage")
    return usage if isinstance(usage, dict) else _NOTHING


def _first_text(holder: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of these fields that holds a text; ``None`` where none does."""
    for name in names:
        if name in holder and isinstance(holder[name], str) and holder[name]:
            text: str = holder[name]
            return text
    return None
