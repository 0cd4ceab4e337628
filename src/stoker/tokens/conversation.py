"""Read a conversation as units that may be kept, shortened or dropped only as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, Any]

SYSTEM_ROLES = frozenset({"system", "developer"})
#: What stands for one image while nothing better is known. Qwen2.5-VL makes 4 to 16,384 tokens
#: of one, by its size; 1,280 is a screenshot of 1,000 by 1,000 pixels at 28 x 28 a token.
IMAGE_TOKENS = 1280
#: The part of a shortened text that comes from its beginning; the rest comes from its end.
_HEAD_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Unit:
    """Messages ``start`` to ``end`` (exclusive) that stand or fall together.

    A user message is a unit; so is an assistant message with all results of its tool calls.
    """

    start: int
    end: int
    role: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of a request: the leading system messages, then units."""

    messages: tuple[Message, ...]
    #: How many leading messages are system or developer messages.
    head: int
    units: tuple[Unit, ...]

    def last_user(self, before: int | None = None) -> int | None:
        """Return the index of the last user unit among the first ``before`` units."""
        for index in reversed(range(len(self.units) if before is None else before)):
            if self.units[index].role == "user":
                return index
        return None


def read(messages: Sequence[Message]) -> Conversation:
    """Split ``messages`` into the leading system messages and units."""
    head = 0
    while head < len(messages) and messages[head].get("role") in SYSTEM_ROLES:
        head += 1
    units: list[Unit] = []
    start = head
    while start < len(messages):
        end = start + 1
        while end < len(messages) and messages[end].get("role") in {"tool", "function"}:
            end += 1
        units.append(Unit(start, end, str(messages[start].get("role", ""))))
        start = end
    return Conversation(tuple(messages), head, tuple(units))


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def images_in(content: object) -> int:
    """Return how many parts of a message's content are not text."""
    if not isinstance(content, list):
        return 0
    return sum(1 for part in content if isinstance(part, dict) and "text" not in part)


def calls_of(message: Message) -> list[Mapping[str, Any]]:
    """Return the functions that a message calls, each with ``name`` and ``arguments``."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return []
    functions = (call.get("function") for call in calls if isinstance(call, dict))
    return [function for function in functions if isinstance(function, dict)]


def arguments_text(function: Mapping[str, Any]) -> str:
    """Return a call's arguments as JSON text, whichever way the client sent them."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False)


def piece_of(message: Message) -> str:
    """Return the text that a template makes tokens of, without the template's own words."""
    text = text_of(message.get("content"))
    reasoning = message.get("reasoning_content")
    if isinstance(reasoning, str):
        text = f"{reasoning}\n{text}"
    calls = calls_of(message)
    if not calls:
        return text
    parts = (f"{call.get('name', '')} {arguments_text(call)}" for call in calls)
    return "\n".join((text, *parts)) if text else "\n".join(parts)


def middle_out(text: str, keep_chars: int) -> str:
    """Shorten ``text`` to about ``keep_chars`` characters, keeping its beginning and its end.

    Whole lines are kept where that costs less than a third of the room. The same text and the
    same length give the same result, whatever else the request holds.
    """
    if len(text) <= keep_chars:
        return text
    head_end = int(keep_chars * _HEAD_SHARE)
    tail_start = len(text) - (keep_chars - head_end)
    newline = text.rfind("\n", head_end * 2 // 3, head_end)
    head_end = newline + 1 if newline >= 0 else head_end
    newline = text.find("\n", tail_start, tail_start + (len(text) - tail_start) // 3)
    tail_start = newline + 1 if newline >= 0 else tail_start
    left_out = text[head_end:tail_start]
    lines = left_out.count("\n")
    what = f"{lines} lines" if lines else f"{len(left_out)} characters"
    marker = f"[... {what} left out ...]\n"
    separator = "" if head_end == 0 or text[head_end - 1] == "\n" else "\n"
    return f"{text[:head_end]}{separator}{marker}{text[tail_start:]}"


def shorten(message: Message, keep_chars: int) -> Message:
    """Shorten a tool result, or the long texts in a call's arguments, to ``keep_chars`` each.

    Arguments stay valid JSON with the same keys. Anything else is given back as it is.
    """
    if message.get("role") in {"tool", "function"}:
        text = text_of(message.get("content"))
        if len(text) <= keep_chars or images_in(message.get("content")):
            return message
        return {**message, "content": middle_out(text, keep_chars)}
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    shortened = [_shorten_call(call, keep_chars) for call in calls]
    if all(new is old for new, old in zip(shortened, calls, strict=True)):
        return message
    return {**message, "tool_calls": shortened}


def _shorten_call(call: Any, keep_chars: int) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return call
    text = arguments_text(function)
    if len(text) <= keep_chars:
        return call
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        return call
    if not isinstance(arguments, dict):
        return call
    short = {
        key: middle_out(value, keep_chars // 2) if isinstance(value, str) else value
        for key, value in arguments.items()
    }
    return {
        **call,
        "function": {**function, "arguments": json.dumps(short, ensure_ascii=False)},
    }


def used_tools(messages: Sequence[Message]) -> frozenset[str]:
    """Return the names of all tools that the conversation has called."""
    names = (call.get("name") for message in messages for call in calls_of(message))
    return frozenset(name for name in names if isinstance(name, str))
