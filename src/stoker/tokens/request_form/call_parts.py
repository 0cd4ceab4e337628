"""Calls and results that stand among the parts of a message's content, as messages of their own.

Anthropic's API writes them so, and Cursor sends such histories to OpenAI's endpoints too
(https://github.com/automazeio/vibeproxy/issues/411). The AI SDK's messages have the same parts
under other names. Servers know neither, and the model would see no result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

_CALLS = frozenset({"tool_use", "tool-call"})
_RESULTS = frozenset({"tool_result", "tool-result"})
#: Under which names the AI SDK has had what a tool returned.
_RETURNED = ("content", "result", "output")


def taken_out(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The messages, with calls in ``tool_calls`` and each result in a message before the rest.

    Texts in a list of parts become parts.
    """
    for given in messages:
        message = _with_parts(given)
        content: Any = message.get("content")
        kinds = _kinds(content) if isinstance(content, list) else frozenset()
        if kinds & _CALLS and message.get("role") == "assistant":
            yield _with_calls(message, content)
        elif kinds & _RESULTS:
            yield from _results_first(message, content)
        else:
            yield message


def _with_parts(message: Mapping[str, Any]) -> Mapping[str, Any]:
    content: Any = message.get("content")
    if not isinstance(content, list) or not any(isinstance(part, str) for part in content):
        return message
    parts = [{"type": "text", "text": p} if isinstance(p, str) else p for p in content]
    return {**message, "content": parts}


def _kinds(content: list[Any]) -> frozenset[Any]:
    kinds = (part.get("type") for part in content if isinstance(part, Mapping))
    return frozenset(kind for kind in kinds if isinstance(kind, str))


def _with_calls(message: Mapping[str, Any], content: list[Any]) -> dict[str, Any]:
    calls = [_call(part) for part in content if part.get("type") in _CALLS]
    rest = [part for part in content if part.get("type") not in _CALLS]
    given = message.get("tool_calls")
    return {**message, "content": rest or None, "tool_calls": given or calls}


def _call(part: Mapping[str, Any]) -> dict[str, Any]:
    arguments = part.get("input") or part.get("args")
    function = {"name": part.get("name") or part.get("toolName") or "", "arguments": arguments}
    own_id = part.get("id") or part.get("toolCallId")
    return {"id": own_id, "type": "function", "function": function}


def _results_first(message: Mapping[str, Any], content: list[Any]) -> Iterator[dict[str, Any]]:
    for part in content:
        if part.get("type") in _RESULTS:
            own_id = part.get("tool_use_id") or part.get("toolCallId")
            yield {"role": "tool", "tool_call_id": own_id, "content": _returned(part)}
    rest = [part for part in content if part.get("type") not in _RESULTS]
    if rest:
        yield {**message, "content": rest}


def _returned(part: Mapping[str, Any]) -> Any:
    """What a tool returned: text, parts, or the JSON of anything else."""
    value = next((part[name] for name in _RETURNED if part.get(name) is not None), "")
    if isinstance(value, Mapping) and "value" in value:  # {"type": "json", "value": ...}
        value = value["value"]
    is_parts = isinstance(value, list) and all(
        isinstance(each, Mapping) and isinstance(each.get("type"), str) for each in value
    )
    return value if isinstance(value, str) or is_parts else orjson.dumps(value).decode()
