"""Server-sent events as bytes: cut a stream into whole events, whatever pieces it comes in."""

from __future__ import annotations

from typing import Any

import orjson

PING = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
#: An answer that is not streamed, or one event of a stream, larger than this is refused: it is
#: a broken backend, and memory is to stay flat.
MAX_PART_BYTES = 64 * 1024 * 1024


class PartTooLargeError(Exception):
    """One event, or a whole answer, is larger than ``MAX_PART_BYTES``."""


class EventFramer:
    """Holds back what has come of an event until it is whole."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The events that are whole by now, their lines ended by LF; the rest is held.

        Raises ``PartTooLargeError``.
        """
        if not self._held and data.endswith(b"\n\n") and b"\r" not in data:
            return data
        held = self._held
        if held.endswith(b"\r"):
            del held[-1:]
            data = b"\r" + data
        searched = max(0, len(held) - 1)
        held += data.replace(b"\r\n", b"\n")
        cut = held.rfind(b"\n\n", searched) + 2
        if cut < 2:
            if len(held) > MAX_PART_BYTES:
                held.clear()
                raise PartTooLargeError("one event is larger than 64 MB")
            return b""
        whole = bytes(held[:cut])
        del held[:cut]
        return whole

    def finish(self) -> bytes:
        """What is left when the stream ended."""
        rest = bytes(self._held).strip()
        self._held.clear()
        return rest


def split(data: bytes) -> list[bytes]:
    """Whole events, each with its ending."""
    parts = (part.strip(b"\n") for part in data.split(b"\n\n"))
    return [part + b"\n\n" for part in parts if part]


def is_whole(event: bytes) -> bool:
    """Whether the last event of a stream lacks nothing but the empty line after it."""
    value = event[5:].strip() if event.startswith(b"data:") else b""
    if value == b"[DONE]":
        return True
    try:
        return isinstance(orjson.loads(value), dict)
    except orjson.JSONDecodeError:
        return False


def encode(events: list[dict[str, Any]]) -> bytes:
    """Events as they are sent."""
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
