"""Numbers by which clients and conversations differ; they lead back to no content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stoker.tokens.chat_messages import text_of

#: What distinguishes one client's system prompt from another's: editors change its end meanwhile.
_HEAD_CHARS = 256


def head_key(messages: Sequence[Any] | None) -> int:
    """A number for the beginning of the first message, by which one client differs from others."""
    return hash(_opening(_readable(messages)))


def conversation_key(messages: Sequence[Any] | None) -> int:
    """A number for a conversation, which keeps its beginning and its first question."""
    readable = _readable(messages)
    asked = next((each for each in readable if each.get("role") == "user"), {})
    return hash((_opening(readable), text_of(asked.get("content"))))


def _readable(messages: Sequence[Any] | None) -> list[dict[str, Any]]:
    return [each for each in messages or () if isinstance(each, dict)]


def _opening(readable: Sequence[dict[str, Any]]) -> str:
    return text_of(readable[0].get("content"))[:_HEAD_CHARS] if readable else ""
