"""Numbers by which clients and conversations differ; they lead back to no content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from stoker.tokens.chat_messages import text_of

#: What distinguishes one client's system prompt from another's: editors change its end meanwhile.
_HEAD_CHARS = 256
#: Of both ends of a question: editors put files before what a person asks, or behind it.
_ID_CHARS = 1024


def head_key(messages: Sequence[Any] | None) -> int:
    """A number for the beginning of the first message, by which one client differs from others."""
    return hash(_opening(messages))


def conversation_key(messages: Sequence[Any] | None) -> int:
    """A number for a conversation, which keeps its beginning and its first question."""
    return hash((_opening(messages), _first_question(messages)))


def conversation_id(messages: Sequence[Any]) -> str:
    """The same for every gateway, as an id: hexadecimal digits."""
    asked = _first_question(messages)
    text = f"{_opening(messages)}\0{asked[:_ID_CHARS]}\0{asked[-_ID_CHARS:]}"
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def _first_question(messages: Sequence[Any] | None) -> str:
    asked: dict[str, Any] = next((e for e in _readable(messages) if e.get("role") == "user"), {})
    return text_of(asked.get("content"))


def _readable(messages: Sequence[Any] | None) -> Iterator[dict[str, Any]]:
    return (each for each in messages or () if isinstance(each, dict))


def _opening(messages: Sequence[Any] | None) -> str:
    first: dict[str, Any] = next(_readable(messages), {})
    return text_of(first.get("content"))[:_HEAD_CHARS]
