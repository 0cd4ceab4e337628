"""What a backend answers, on its way to the client: events relayed as they come, unparsed.

Only whole events are passed on, so that whatever happens to the backend, the client's stream can
be ended with a well-formed event. An event is looked into only where it carries the usage (found
by one search for a key that no text can contain unescaped), is not valid UTF-8, or where a
``Rewrite`` has to see all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from stoker.gateway.api import openai_errors
from stoker.gateway.relay.backend_connection import BackendConnection, BackendGoneError

PING = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
#: In JSON a quote inside a text is escaped, so this can only be the usage's own key.
_USAGE_KEY = b'"prompt_tokens"'
#: In JSON a line's end is escaped, so this can only end the stream's last event.
_DONE_END = b"[DONE]\n\n"
#: An answer that is not streamed, or one event of a stream, larger than this is refused: it is
#: a broken backend, and memory is to stay flat.
MAX_PART_BYTES = 64 * 1024 * 1024
#: A prompt of fewer tokens says little of how fast prompts are read.
_MEASURABLE_TOKENS = 256
#: Bytes that may wait for a slow client before the backend is made to wait too.
_HIGH_WATER_BYTES = 256 * 1024
_DRAIN_POLL_S = 0.02


class Rewrite(Protocol):
    """Changes to a stream's events, or to a whole answer, such as calls found in text."""

    def event(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """What goes to the client in place of one event."""

    def end(self) -> list[dict[str, Any]]:
        """What is still to be said when the stream ends."""

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """What goes to the client in place of an answer that was not streamed."""


class ResponseStream:
    """One answer: a ``Sink`` on the backend's side, bytes for the client on the other.

    ``begun`` is set when there is something to send: the first event, the whole of an answer
    that is not streamed, or a failure. ``ended`` is set when nothing more will come.
    """

    def __init__(
        self,
        connection: BackendConnection | None,
        *,
        streamed: bool,
        wants_usage: bool = True,
        rewrite: Rewrite | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.status = 0
        self.headers: Mapping[bytes, bytes] = {}
        self.error: BackendGoneError | None = None
        #: Tokens as the backend counted them, once it said so.
        self.usage: dict[str, Any] | None = None
        #: How fast it read the prompt, where it says so (llama.cpp does).
        self.prefill_tokens_per_s: float | None = None
        #: The client was sent an event stream, whatever became of it.
        self.streaming = False
        self.first_byte_at: float | None = None
        self.last_write_at = loop.time()
        #: Something came from the backend since the last look.
        self.heard = False
        self.silent_since = loop.time()
        #: What was wrong with the answer, for the log and the metrics.
        self.faults: list[str] = []
        self._loop = loop
        self._connection = connection
        self.streamed = streamed
        self._wants_usage = wants_usage
        self._rewrite = rewrite
        self._whole: list[bytes] = []
        self._whole_bytes = 0
        self._held = bytearray()
        self._pending: list[bytes] = []
        self._write: Callable[[bytes], None] = self._pending.append
        self._buffered: Callable[[], int] = lambda: 0
        self._paused = False
        self._saw_done = False
        self._is_events = False

    @classmethod
    def none(cls, error: BackendGoneError) -> ResponseStream:
        """The answer of a backend that could not be reached."""
        answer = cls(None, streamed=False)
        answer.failed(error)
        return answer

    # The backend's side

    def head(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        """The backend's status and headers."""
        self.status, self.headers = status, headers
        kind = headers.get(b"content-type", b"")
        self._is_events = self.streamed and status == 200 and kind.startswith(b"text/event-stream")

    def body(self, data: bytes) -> None:
        """A piece of the backend's answer."""
        self.heard = True
        if self.first_byte_at is None:
            self.first_byte_at = self._loop.time()
        if not self._is_events:
            self._collect(data)
            return
        if self._held or b"\r" in data or not data.endswith(b"\n\n"):
            data = self._whole_events(data)
        if data:
            self._events(data)

    def done(self) -> None:
        """The backend's answer is complete."""
        if self._is_events:
            self._finish_events()
        elif self.streaming:
            self._error_event()
        self._end()

    def failed(self, error: BackendGoneError) -> None:
        """The backend broke off."""
        if self.ended.done():
            return
        self._fault("broke off")
        if self._saw_done:  # it left out only the end of the transfer
            self._end()
            return
        self.error = error
        if self.streaming or self._pending:
            self._put_some(self._rest_of_rewrite())
            self._send_error(
                "The model's server broke off before the answer was complete. Send it again.",
                code="backend_failed",
            )
        self._end()

    # The client's side

    @property
    def whole(self) -> bytes:
        """The body of an answer that is not an event stream."""
        return b"".join(self._whole)

    def note_usage(self, value: Mapping[str, Any]) -> None:
        """Remember what the backend says of tokens and speed."""
        self.usage = value["usage"]
        timings = value.get("timings")
        if not isinstance(timings, dict):
            return
        read, speed = timings.get("prompt_n"), timings.get("prompt_per_second")
        if isinstance(read, int) and isinstance(speed, int | float) and speed > 0:
            self.prefill_tokens_per_s = speed if read >= _MEASURABLE_TOKENS else None

    def rewritten(self, answer: dict[str, Any]) -> dict[str, Any]:
        """A whole answer with the rewrite, if any, applied."""
        return self._rewrite.whole(answer) if self._rewrite else answer

    @property
    def is_events(self) -> bool:
        """Whether the backend answers with events."""
        return self._is_events

    def begin_early(self) -> None:
        """Begin the client's stream with a comment: the backend is still reading the prompt."""
        if not self.begun.done():
            self._pending.append(PING)
            self.streaming = True
            self.begun.set_result(None)

    def ping(self) -> None:
        """Say that the stream is alive. Only whole events are written, so it can't split one."""
        if not self.ended.done():
            self._put(PING)

    def take_first(self) -> bytes:
        """What has come so far, to be sent along with the head."""
        first = b"".join(self._pending)
        self._pending.clear()
        return first

    def attach(self, transport: asyncio.WriteTransport, *, chunked: bool) -> None:
        """From now on write straight to the client's transport, behind what was written."""
        write = transport.write

        def framed(data: bytes) -> None:
            write(b"%x\r\n%b\r\n" % (len(data), data))

        waiting = self.take_first()
        self._write = framed if chunked else write
        self._buffered = transport.get_write_buffer_size
        if waiting:
            self._write(waiting)

    def abort(self) -> None:
        """The backend is to stop now: the client left, or the answer can't be passed on."""
        if self._connection is not None:
            self._connection.abort()

    # In between

    def _whole_events(self, data: bytes) -> bytes:
        """The events that are whole by now, their lines ended by LF; the rest is held."""
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
                self.failed(BackendGoneError("one event is larger than 64 MB"))
                self.abort()
            return b""
        whole = bytes(held[:cut])
        del held[:cut]
        return whole

    def _events(self, data: bytes) -> None:
        """Pass on whole events; nothing comes after ``[DONE]``."""
        if self._saw_done:
            return
        if not data.isascii():
            data = self._valid_utf8(data)
        if _DONE_END in data:
            self._saw_done = True
            data = data[: data.index(_DONE_END)]
            data = data[: data.rfind(b"\n") + 1]
        if self._rewrite is not None or _USAGE_KEY in data:
            data = b"".join(self._look_into(event) for event in _split(data))
        if self._saw_done:
            data += self._rest_of_rewrite() + DONE
        self._put_some(data)

    def _put_some(self, data: bytes) -> None:
        if data:  # an empty chunk would end the transfer
            self._put(data)

    def _put(self, data: bytes) -> None:
        self._write(data)
        self.last_write_at = self._loop.time()
        if not self.streaming:
            self.streaming = True
            if not self.begun.done():
                self.begun.set_result(None)
        elif self._buffered() > _HIGH_WATER_BYTES and not self._paused and self._connection:
            self._paused = True
            self._connection.pause()
            self._loop.call_later(_DRAIN_POLL_S, self._check_drained)

    def _check_drained(self) -> None:
        if self.ended.done():
            return
        if self._buffered() > _HIGH_WATER_BYTES // 2:
            self._loop.call_later(_DRAIN_POLL_S, self._check_drained)
            return
        self._paused = False
        if self._connection is not None:
            self._connection.resume()

    def _look_into(self, event: bytes) -> bytes:
        """One event, after the usage was taken from it and the rewrite made."""
        if self._rewrite is None and _USAGE_KEY not in event:
            return event
        value = self._parsed(event)
        if value is None:
            return event
        if isinstance(value.get("usage"), dict):
            self.note_usage(value)
            if not value.get("choices") and not self._wants_usage:
                return b""
        return _encode(self._rewrite.event(value)) if self._rewrite else event

    def _parsed(self, event: bytes) -> dict[str, Any] | None:
        """The JSON object of an event; ``None`` for comments and what is not an object."""
        if not event.startswith(b"data:"):
            return None
        try:
            value = orjson.loads(event[5:])
        except orjson.JSONDecodeError:
            self._fault("event is not JSON")
            return None
        return value if isinstance(value, dict) else None

    def _valid_utf8(self, data: bytes) -> bytes:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            self._fault("bytes that are not UTF-8")
            return data.decode("utf-8", errors="replace").encode()
        return data

    def _collect(self, data: bytes) -> None:
        self._whole_bytes += len(data)
        if self._whole_bytes > MAX_PART_BYTES:
            self._whole.clear()
            self.failed(BackendGoneError("the answer is larger than 64 MB"))
            self.abort()
            return
        self._whole.append(data)

    def _finish_events(self) -> None:
        rest = bytes(self._held).strip()
        self._held.clear()
        if _is_whole(rest):
            self._events(rest + b"\n\n")
        elif rest:
            self._fault("ended within an event")
        if not self._saw_done:
            self._fault("ended without [DONE]")
            self._put(self._rest_of_rewrite() + DONE)

    def _rest_of_rewrite(self) -> bytes:
        """What the rewrite has held back; it sees nothing after that."""
        rewrite, self._rewrite = self._rewrite, None
        return _encode(rewrite.end()) if rewrite else b""

    def _error_event(self) -> None:
        """The client's stream began with a comment, and then the backend refused."""
        try:
            said = orjson.loads(self.whole).get("error") or {}
            message = said.get("message") if isinstance(said, dict) else str(said)
        except (orjson.JSONDecodeError, AttributeError):
            message = None
        self._send_error(
            message or f"The model's server refused with status {self.status}.",
            code="backend_refused",
        )

    def _send_error(self, message: str, *, code: str) -> None:
        event = openai_errors.body(message, kind="server_error", code=code)
        self._put(b"data: " + event + b"\n\n" + DONE)

    def _fault(self, what: str) -> None:
        if what not in self.faults:
            self.faults.append(what)

    def _end(self) -> None:
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None)


def _split(data: bytes) -> list[bytes]:
    """Whole events, each with its ending."""
    parts = (part.strip(b"\n") for part in data.split(b"\n\n"))
    return [part + b"\n\n" for part in parts if part]


def _is_whole(event: bytes) -> bool:
    """Whether the last event of a stream lacks nothing but the empty line after it."""
    said = event[5:].strip() if event.startswith(b"data:") else b""
    if said == b"[DONE]":
        return True
    try:
        return isinstance(orjson.loads(said), dict)
    except orjson.JSONDecodeError:
        return False


def _encode(events: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
