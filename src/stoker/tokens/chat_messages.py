"""Read the parts of a chat message, in whichever of the allowed forms a client sent them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Message = Mapping[str, Any]

SYSTEM_ROLES = frozenset({"system", "developer"})


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


def call_ids(request: Mapping[str, Any]) -> set[str]:
    """Return the ids of all calls in a request's conversation."""
    messages = request.get("messages")
    calls = (
        call
        for message in (messages if isinstance(messages, list) else ())
        if isinstance(message, dict) and isinstance(message.get("tool_calls"), list)
        for call in message["tool_calls"]
    )
    ids = (call.get("id") for call in calls if isinstance(call, dict))
    return {own_id for own_id in ids if isinstance(own_id, str)}


def arguments_text(function: Mapping[str, Any]) -> str:
    """Return a call's arguments as JSON text, whichever way the client sent them."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False)


def arguments_of(function: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a call's arguments, ``None`` where they are not a JSON object."""
    try:
        arguments = json.loads(arguments_text(function))
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def piece_of(message: Message) -> str:
    """Return the text that a template makes tokens of, without the template's own words."""
    text = text_of(message.get("content"))
    reasoning = message.get("reasoning_content")
    if isinstance(reasoning, str):
        text = f"{reasoning}\n{text}"
    calls = calls_of(message)
    if not calls:
        return text
    parts = (f"{call.get('name', '')} {_arguments_as_rendered(call)}" for call in calls)
    return "\n".join((text, *parts)) if text else "\n".join(parts)


def _arguments_as_rendered(function: Mapping[str, Any]) -> str:
    """A call's arguments as templates write them: Python clients escape what is not ASCII."""
    text = arguments_text(function)
    arguments = arguments_of(function) if "\\u" in text else None
    return text if arguments is None else json.dumps(arguments, ensure_ascii=False)


def tool_name(tool: object) -> str:
    """Return the name of a tool definition, empty where it has none."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else ""
