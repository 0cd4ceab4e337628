"""Server-sent events as bytes: cut a stream into whole events, whatever pieces it comes in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from stoker.gateway.api import lone_surrogates

PING = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
#: An answer that is not streamed, or one event of a stream, larger than this is refused: it is
#: a broken backend, and memory is to stay flat.
MAX_PART_BYTES = 64 * 1024 * 1024
#: A line with data that no empty line follows.
_RUN_ON = re.compile(rb"^data:[^\n]*\n(?!\n|\Z)", re.MULTILINE)
#: A line that reports an error, by a field, by the name of its event or by nothing.
_ERROR_LINE = re.compile(
    rb'^(?:(?P<field>error:)|(?P<name>event: ?error)\s*$|\{"error")', re.MULTILINE
)
_CR = b"\r"[0]
#: What a line with data begins with, and no other field.
_D = b"d"[0]
#: What a line of an event stream begins with.
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
#: A stream may begin with it, which means nothing.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class PartTooLargeError(Exception):
    """One event, or a whole answer, is larger than ``MAX_PART_BYTES``."""


def begins_stream(beginning: bytes, *, is_declared: bool) -> bool | None:
    """Whether a body is an event stream; ``None`` while too little of it has come.

    Servers send streams under other content types, and under none; and some that declare a stream
    send JSON. So the body decides, and ``is_declared`` where it shows nothing.
    """
    first = beginning.lstrip()[: len(b"event:")]
    if not first:
        return None
    if first[:1] in b"{[<":
        return False
    if is_declared or first.startswith(_FIELDS):
        return True
    return None if any(field.startswith(first) for field in _FIELDS) else False


class EventFramer:
    """Holds back what has come of an event until it is whole.

    Servers that end an event with its line alone, without the empty line after it, are understood:
    a line whose data is whole JSON is an event.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        #: What ``feed`` returned last is one event, whose data is in its only line.
        self.gave_one_line = False

    def feed(self, data: bytes) -> bytes:
        """The events that are whole by now, their lines ended by LF; the rest is held.

        Raises ``PartTooLargeError``.
        """
        # Most pieces are one event of one line, which is quicker found out than any other form.
        held = self._held
        self.gave_one_line = (
            not held and data.partition(b"\n")[2] == b"\n" and data[0] == _D and _CR not in data
        )
        if self.gave_one_line:
            return data
        is_split = data.startswith(b"\n")  # from the line that it ends
        if not (held or is_split) and data.endswith(b"\n\n") and b"\r" not in data:
            return _separated(data)
        if held.endswith(b"\r"):
            del held[-1:]
            data = b"\r" + data
        searched = max(0, len(held) - 1)
        held += _with_lf(data)
        if held.startswith(b"\n"):  # the empty line after an event that was passed on without it
            held[:] = held.lstrip(b"\n")
            searched = 0
        cut = held.rfind(b"\n\n", searched) + 2
        whole = _separated(self._taken(cut)) if cut >= 2 else b""
        whole += self._whole_line(0 if cut >= 2 else searched)
        if len(held) > MAX_PART_BYTES:
            held.clear()
            raise PartTooLargeError("one event is larger than 64 MB")
        return whole

    def _whole_line(self, searched: int) -> bytes:
        """What is held up to the end of its last line, where that line is an event by itself."""
        end = self._held.rfind(b"\n", searched) + 1
        if not end:
            return b""
        last = bytes(self._held[self._held.rfind(b"\n", 0, end - 1) + 1 : end])
        if not (last.startswith(b"data:") and is_whole(last)):
            return b""
        return _separated(self._taken(end) + b"\n")

    def _taken(self, length: int) -> bytes:
        taken = bytes(self._held[:length])
        del self._held[:length]
        return taken

    def finish(self) -> bytes:
        """What is left when the stream ended."""
        rest = bytes(self._held).strip()
        self._held.clear()
        return _separated(rest)


def split(data: bytes) -> list[bytes]:
    """Whole events, each with its ending."""
    parts = (part.strip(b"\n") for part in data.split(b"\n\n"))
    return [part + b"\n\n" for part in parts if part]


def payload(event: bytes) -> bytes:
    """The data of one event, whatever other fields and comments it has."""
    if event.startswith(b"data:") and event.find(b"\n") in (-1, len(event) - 1, len(event) - 2):
        return event[5:]
    lines = (line[5:] for line in event.split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(lines)


def errors_as_data(data: bytes) -> bytes:
    """Whole events; an error in another field than ``data:`` is an event of OpenAI's form.

    llama.cpp up to the end of 2025 has a field of its own for it
    (https://github.com/ggml-org/llama.cpp/pull/16109), others name the event, and Lemonade passes
    on the bare JSON (https://github.com/lemonade-sdk/lemonade/issues/2826).
    """
    if not _ERROR_LINE.search(data):
        return data
    return b"".join(map(_error_as_data, split(data)))


def _error_as_data(event: bytes) -> bytes:
    found = _ERROR_LINE.search(event)
    if found is None:
        return event
    begin = found.start() if found["field"] is None else found.end()
    line, _, rest = event[begin:].partition(b"\n")
    if found["name"] is not None:
        line, rest = payload(event), b""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = line.decode("utf-8", errors="replace").strip()
    has_error = isinstance(value, dict) and value.get("error")
    error = encode([value if has_error else {"error": value}]) if value else b""
    before = event[: found.start()]
    return (before + b"\n" if before else b"") + error + rest.lstrip(b"\n")


def parsed(data: bytes, fault: Callable[[str], None]) -> dict[str, Any] | None:
    """The JSON object of an event's data; ``None`` where it is none. What is wrong is reported."""
    try:
        value = lone_surrogates.loads(data)
    except orjson.JSONDecodeError:
        fault("event is not JSON")
        return None
    return value if isinstance(value, dict) else None


def valid_utf8(data: bytes, fault: Callable[[str], None]) -> bytes:
    """The data, with what is not UTF-8 replaced and reported: clients stop reading at it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        fault("bytes that are not UTF-8")
        return data.decode("utf-8", errors="replace").encode()
    return data


def is_whole(event: bytes) -> bool:
    """Whether an event lacks nothing but the empty line after it."""
    value = payload(event).strip()
    if value == b"[DONE]":
        return True
    try:
        return isinstance(orjson.loads(value), dict)
    except orjson.JSONDecodeError:
        return False


def _with_lf(data: bytes) -> bytes:
    """Lines ended by LF. A CR at the end stays: the LF that belongs to it may come next."""
    if b"\r" not in data:
        return data
    end = len(data) - data.endswith(b"\r")
    return data[:end].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + data[end:]


def _separated(data: bytes) -> bytes:
    """Whole events, each with an empty line after it."""
    if not _RUN_ON.search(data):
        return data
    return _RUN_ON.sub(lambda line: line[0] + b"\n" if is_whole(line[0]) else line[0], data)


def encode(events: list[dict[str, Any]]) -> bytes:
    """Events as they are sent."""
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
