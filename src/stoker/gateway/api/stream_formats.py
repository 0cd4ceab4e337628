"""How the APIs that the gateway passes on end a stream, and report an error inside one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from stoker.gateway.api import openai_errors

#: https://docs.anthropic.com/en/docs/build-with-claude/streaming
_MESSAGES_END = frozenset({"message_stop", "error"})
#: https://platform.openai.com/docs/api-reference/responses-streaming
_RESPONSES_END = frozenset(
    f"response.{state}" for state in ("completed", "incomplete", "failed", "cancelled")
) | {"error"}


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """The form of an API's streams, where it is not that of OpenAI's chats."""

    #: Whether an event is the last one of its stream.
    is_last: Callable[[Mapping[str, Any]], bool]
    #: An error of this message and code as an event; its number in the stream, where they count.
    error: Callable[[str, str, int], bytes]


def _native_error(message: str, code: str, _number: int) -> bytes:
    body = openai_errors.body(message, kind="server_error", code=code)
    return b"data: " + body + b"\n\n"


def _messages_error(message: str, _code: str, _number: int) -> bytes:
    error = {"type": "api_error", "message": message}
    return _event("error", {"type": "error", "error": error})


def _responses_error(message: str, code: str, number: int) -> bytes:
    error = {"code": code, "message": message, "param": None, "sequence_number": number}
    return _event("error", {"type": "error", **error})


def _event(name: str, value: Mapping[str, Any]) -> bytes:
    return f"event: {name}\ndata: ".encode() + orjson.dumps(value) + b"\n\n"


#: llama.cpp's own API, seen in b11549.
NATIVE = StreamFormat(lambda event: event.get("stop") is True or "error" in event, _native_error)
MESSAGES = StreamFormat(lambda event: event.get("type") in _MESSAGES_END, _messages_error)
RESPONSES = StreamFormat(lambda event: event.get("type") in _RESPONSES_END, _responses_error)
