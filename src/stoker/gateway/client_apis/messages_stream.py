"""A chat's stream as the events of Anthropic's Messages API.

https://docs.anthropic.com/en/docs/build-with-claude/streaming: a message holds blocks, one after
the other, and each has a start, deltas and a stop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from stoker.engines.refusals import OVERFLOW
from stoker.gateway.client_apis import chat_parts, messages_answer
from stoker.gateway.client_apis.client_api import Asked, named_event

_EMPTY_BLOCKS: Mapping[str, Mapping[str, str]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


class MessagesStream:
    """One streamed answer."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._started = False
        #: The type of the block that is open, and the number of the next one.
        self._open: str | None = None
        self._number = 0
        self._reason: str | None = None
        self._sequence: str | None = None
        self._usage: Mapping[str, Any] = {}

    def event(self, chunk: Mapping[str, Any]) -> bytes:
        """What one chunk of a chat becomes."""
        return b"".join(self._events(chunk))

    def end(self) -> bytes:
        """The end of an answer that is complete."""
        counts = messages_answer.usage(self._usage)
        reason = {"stop_reason": self._reason or "end_turn", "stop_sequence": self._sequence}
        last = {"type": "message_delta", "delta": reason, "usage": counts}
        parts = [*self._start(), *self._stop(), named_event("message_delta", last)]
        return b"".join(parts) + named_event("message_stop", {"type": "message_stop"})

    def error(self, message: str, code: str | None) -> bytes:
        """The end of an answer that broke off."""
        kind = "invalid_request_error" if code == OVERFLOW else "api_error"
        return named_event("error", messages_answer.error(message, kind, code))

    def _events(self, chunk: Mapping[str, Any]) -> Iterator[bytes]:
        yield from self._start()
        self._usage = chat_parts.usage_of(chunk) or self._usage
        choice = chat_parts.first_choice(chunk)
        delta = chat_parts.part_of(choice)
        if thought := chat_parts.thought_in(delta):
            yield from self._put("thinking", "thinking_delta", "thinking", thought)
        if text := chat_parts.text_in(delta):
            yield from self._put("text", "text_delta", "text", text)
        for call in chat_parts.calls_in(delta):
            yield from self._call(call)
        if choice.get("finish_reason"):
            self._reason, self._sequence = messages_answer.stop(choice, self._asked)

    def _start(self) -> Iterator[bytes]:
        if not self._started:
            self._started = True
            message = messages_answer.empty(self._asked)
            yield named_event("message_start", {"type": "message_start", "message": message})

    def _put(self, block: str, kind: str, field: str, piece: str) -> Iterator[bytes]:
        """A piece of text or thinking, in the block that is open or in a new one."""
        if self._open != block:
            yield from self._stop()
            yield self._begin(_EMPTY_BLOCKS[block])
            self._open = block
        yield self._delta(kind, field, piece)

    def _call(self, call: Mapping[str, Any]) -> Iterator[bytes]:
        yield from self._stop()
        yield self._begin(messages_answer.tool_use(call))
        self._open = "tool_use"
        arguments = call["function"].get("arguments") or "{}"
        yield self._delta("input_json_delta", "partial_json", arguments)
        yield from self._stop()

    def _begin(self, block: Mapping[str, Any]) -> bytes:
        start = {"type": "content_block_start", "index": self._number, "content_block": block}
        return named_event("content_block_start", start)

    def _delta(self, kind: str, field: str, piece: str) -> bytes:
        # Written by hand: most events are deltas, and this takes half of the time.
        return (
            b"event: content_block_delta\n"
            b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}\n\n'
            % (self._number, kind.encode(), field.encode(), orjson.dumps(piece))
        )

    def _stop(self) -> Iterator[bytes]:
        """The end of the open block, if there is one."""
        if self._open is None:
            return
        if self._open == "thinking":
            yield self._delta("signature_delta", "signature", messages_answer.SIGNATURE)
        end = {"type": "content_block_stop", "index": self._number}
        yield named_event("content_block_stop", end)
        self._open = None
        self._number += 1
