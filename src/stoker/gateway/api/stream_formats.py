"""How the APIs that the gateway passes on end a stream, and report an error inside of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stoker.gateway.api import openai_errors


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """The form of an API's streams, where it is not that of OpenAI's chats."""

    #: Whether an event is the last one of its stream.
    is_last: Callable[[Mapping[str, Any]], bool]
    #: An error of this message and code as an event.
    error: Callable[[str, str], bytes]


def _native_error(message: str, code: str) -> bytes:
    body = openai_errors.body(message, kind="server_error", code=code)
    return b"data: " + body + b"\n\n"


#: llama.cpp's own API, seen in b11549.
NATIVE = StreamFormat(lambda event: event.get("stop") is True or "error" in event, _native_error)
