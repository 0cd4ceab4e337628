"""What a backend answers, on its way to the client: events relayed as they come, unparsed.

Only whole events are passed on, so that whatever happens to the backend, the client's stream can
be ended with a well-formed event. ``EventFramer`` finds them, ``EventEditor`` changes the few that
are to be changed, ``ClientWriter`` sends them, ``LiveStreams`` keeps them alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from stoker.engines import refusals
from stoker.engines.refusals import Refusal
from stoker.gateway.api import openai_errors
from stoker.gateway.relay.backend_connection import BackendConnection, BackendGoneError
from stoker.gateway.relay.client_writer import ClientWriter
from stoker.gateway.relay.event_editor import EventEditor, Rewrite, UsageReport
from stoker.gateway.relay.event_framing import (
    DONE,
    MAX_PART_BYTES,
    PING,
    EventFramer,
    PartTooLargeError,
)


class ResponseStream:
    """One answer: a ``Sink`` on the backend's side, a ``ClientWriter`` on the client's.

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
        self._loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.status = 0
        self.headers: Mapping[bytes, bytes] = {}
        self.error: BackendGoneError | None = None
        self.report = UsageReport()
        #: The client asked for a stream.
        self.streamed = streamed
        #: The client was sent an event stream, whatever became of it.
        self.streaming = False
        #: The backend answers with events.
        self.is_events = False
        self.first_byte_at: float | None = None
        #: Something came from the backend since ``LiveStreams`` last checked.
        self.heard = False
        #: What was wrong with the answer, for the log and the metrics.
        self.faults: list[str] = []
        self.writer = ClientWriter(connection)
        self._connection = connection
        self._rewrite = rewrite
        self._framer = EventFramer()
        self._editor = EventEditor(
            self.report, self._fault, wants_usage=wants_usage, rewrite=rewrite
        )
        self._whole: list[bytes] = []
        self._whole_bytes = 0

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
        self.is_events = self.streamed and status == 200 and kind.startswith(b"text/event-stream")

    def body(self, data: bytes) -> None:
        """A piece of the backend's answer."""
        self.heard = True
        if self.first_byte_at is None:
            self.first_byte_at = self._loop.time()
        try:
            if self.is_events:
                self._put(self._editor.edit(self._framer.feed(data)))
            else:
                self._collect(data)
        except PartTooLargeError as error:
            self.failed(BackendGoneError(str(error)))
            self.abort()

    def done(self) -> None:
        """The backend's answer is complete."""
        if self.is_events:
            self._put(self._editor.finish(self._framer.finish()))
        elif self.streaming:
            self._refused_late()
        self._end()

    def failed(self, error: BackendGoneError) -> None:
        """The backend broke off."""
        if self.ended.done():
            return
        self._fault("broke off")
        if self._editor.saw_done:  # it left out only the end of the transfer
            self._end()
            return
        self.error = error
        if self.streaming:
            self._put(self._editor.rest_of_rewrite())
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

    @property
    def refusal(self) -> Refusal:
        """Why the backend refuses, read from its whole answer."""
        location = self.headers.get(b"location", b"").decode("latin-1")
        return refusals.read(self.status, self.whole, location)

    def rewritten(self, answer: dict[str, Any]) -> dict[str, Any]:
        """A whole answer with the rewrite, if any, applied."""
        return self._rewrite.whole(answer) if self._rewrite else answer

    def keep_alive(self) -> None:
        """Send a comment, which begins the stream while the backend still reads the prompt.

        Only whole events are written, so it can't split one.
        """
        if not self.ended.done():
            self._put(PING)

    def abort(self) -> None:
        """Stop the backend's work now: the client left, or the answer can't be passed on."""
        if self._connection is not None:
            self._connection.abort()

    # In between

    def _put(self, data: bytes) -> None:
        if not data:
            return
        self.writer.write(data)
        if not self.streaming:
            self.streaming = True
            if not self.begun.done():
                self.begun.set_result(None)

    def _collect(self, data: bytes) -> None:
        self._whole_bytes += len(data)
        if self._whole_bytes > MAX_PART_BYTES:
            self._whole.clear()
            raise PartTooLargeError("the answer is larger than 64 MB")
        self._whole.append(data)

    def _refused_late(self) -> None:
        """The client's stream began with a comment, and then the backend refused."""
        event = openai_errors.refused(self.refusal, 500)
        self._put(b"data: " + event + b"\n\n" + DONE)

    def _send_error(self, message: str, *, code: str) -> None:
        event = openai_errors.body(message, kind="server_error", code=code)
        self._put(b"data: " + event + b"\n\n" + DONE)

    def _fault(self, what: str) -> None:
        if what not in self.faults:
            self.faults.append(what)

    def _end(self) -> None:
        self.writer.end()
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None)
