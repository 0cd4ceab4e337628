"""What a backend answers, on its way to the client: events relayed as they come, unparsed.

Only whole events are passed on, so that whatever happens to the backend, the client's stream can
be ended with a well-formed event. ``EventFramer`` finds them, ``EventEditor`` changes the few that
are to be changed, ``ClientWriter`` sends them, ``LiveStreams`` keeps them alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from stoker.engines import NativeCompletions, refusals
from stoker.engines.refusals import Refusal
from stoker.gateway.api import openai_errors
from stoker.gateway.api.stream_formats import StreamFormat
from stoker.gateway.client_apis.client_api import ApiStream
from stoker.gateway.relay import answer_conversion, event_framing
from stoker.gateway.relay.backend_connection import BackendConnection, BackendGoneError
from stoker.gateway.relay.client_writer import ClientWriter
from stoker.gateway.relay.event_editor import EventEditor, Rewrite
from stoker.gateway.relay.event_framing import (
    BYTE_ORDER_MARK,
    DONE,
    PING,
    EventFramer,
    PartTooLargeError,
)
from stoker.gateway.relay.passed_events import PassedEvents
from stoker.gateway.relay.prefill_progress import PrefillProgress
from stoker.gateway.relay.tool_call_rewriter import TextCalls
from stoker.gateway.relay.translated_events import TranslatedEvents
from stoker.gateway.relay.whole_answer import WholeAnswer
from stoker.gateway.usage.usage_report import UsageReport


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
        form: StreamFormat | None = None,
        api: ApiStream | None = None,
        choices: int = 1,
        progress_key: str | None = None,
        shows_progress: bool = False,
        on_first_byte: Callable[[], None] | None = None,
        native: NativeCompletions | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        #: When it was asked for, on the event loop's clock.
        self.began_at = self._loop.time()
        self.begun: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.status = 0
        self.headers: Mapping[bytes, bytes] = {}
        self.error: BackendGoneError | None = None
        self.report = UsageReport(choices)
        #: How far the prompt is read, where the backend reports it.
        self.reading = PrefillProgress(progress_key) if progress_key else None
        #: The same, for as long as it may report something.
        self._reports = self.reading
        self._choices = choices
        self._shows_progress = shows_progress
        #: The body of an answer that is not an event stream.
        self.collected = WholeAnswer(choices, rewrite, native, self.reading)
        #: The client asked for a stream.
        self.streamed = streamed
        #: The client was sent an event stream, whatever became of it.
        self.streaming = False
        #: The backend answers with events; ``None`` while that is not known.
        self.is_events: bool | None = False
        self.first_byte_at: float | None = None
        self._on_first_byte = on_first_byte
        #: Events of the backend so far: about one for each token.
        self.events = 0
        #: Something came from the backend since ``LiveStreams`` last checked.
        self.heard = False
        #: What was wrong with the answer, for the log and the metrics.
        self.faults: list[str] = []
        self._connection = connection
        self._rewrite = rewrite
        self._native_stream = native.stream() if native and streamed else None
        self._declares_events = False
        self._beginning = b""
        if streamed:
            #: What sends the client its events.
            self.writer = ClientWriter(connection)
            self._framer = EventFramer()
            self._editor = self._new_editor(form, api, wants_usage=wants_usage)

    @classmethod
    def none(cls, error: BackendGoneError) -> ResponseStream:
        """The answer of a backend that could not be reached."""
        answer = cls(None, streamed=False)
        answer.failed(error)
        return answer

    def _new_editor(
        self, form: StreamFormat | None, api: ApiStream | None, *, wants_usage: bool
    ) -> EventEditor | PassedEvents | TranslatedEvents:
        if api:
            calls = self._rewrite or TextCalls(())
            return TranslatedEvents(self.report, self._fault, rewrite=calls, api=api)
        if form:
            return PassedEvents(self.report, self._fault, form)
        return EventEditor(self.report, self._fault, wants_usage=wants_usage, rewrite=self._rewrite)

    # The backend's side

    def head(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        """The backend's status and headers."""
        self.status, self.headers = status, headers
        kind = headers.get(b"content-type", b"").strip().lower()
        self._declares_events = kind.startswith(b"text/event-stream")
        self.is_events = None if self.streamed and status == 200 else False

    def body(self, data: bytes) -> None:
        """A piece of the backend's answer."""
        self.heard = True
        if self._native_stream is not None and self.status == 200:
            data = self._native_stream.feed(data)
            if not data:
                return
        if self.is_events is None:
            data = self._beginning = (self._beginning + data).removeprefix(BYTE_ORDER_MARK)
            self.is_events = event_framing.begins_stream(data, is_declared=self._declares_events)
        try:
            if self.is_events:
                self._relay(data)
            elif self.is_events is False:
                self.collected.add(data)
        except PartTooLargeError as error:
            self.failed(BackendGoneError(str(error)))
            self.abort()
        if self.first_byte_at is None and (self.events or self.is_events is False):
            self._note_first_byte()

    def _relay(self, data: bytes) -> None:
        """Pass on the events: those about the reading of the prompt where they are wanted."""
        passed = answer = self._framer.feed(data)
        one_line = self._framer.gave_one_line
        if self._reports is not None:
            answer = self._without_progress(passed, self._reports)
            passed = passed if self._shows_progress else answer
        if answer:
            self.events += 1 if one_line else answer.count(b"data:")
        if passed:
            self._put(self._editor.edit(passed, one_line=one_line))

    def _without_progress(self, events: bytes, reading: PrefillProgress) -> bytes:
        answer = reading.taken_from(events)
        if answer and self._choices == 1:  # of several answers each one's prompt may be read
            self._reports = None
        return answer

    def done(self) -> None:
        """The backend's answer is complete."""
        if self.is_events or (self.is_events is None and self._declares_events):
            self._put(self._editor.finish(self._framer.finish()))
        elif self.streamed and self.status == 200:
            self._stream_whole()
        elif self.streaming:
            self._refused_late()
        self._end()

    def failed(self, error: BackendGoneError) -> None:
        """The backend broke off."""
        if self.ended.done():
            return
        self._fault("broke off")
        if self.streamed and self._editor.saw_done:  # it left out only the end of the transfer
            self._end()
            return
        self.error = error
        if self.streaming:
            self._send_error(
                "The model's server broke off before the answer was complete. Send it again.",
                code="backend_failed",
            )
        self._end()

    # The client's side

    @property
    def whole(self) -> bytes:
        """The body of an answer that is not an event stream."""
        return self.collected.body

    @property
    def refusal(self) -> Refusal:
        """Why the backend refuses, read from its whole answer."""
        location = self.headers.get(b"location", b"").decode("latin-1")
        return refusals.read(self.status, self.whole, location)

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

    def _note_first_byte(self) -> None:
        self.first_byte_at = self._loop.time()
        if self._on_first_byte is not None:
            self._on_first_byte()

    def _put(self, data: bytes) -> None:
        if not data:
            return
        self.writer.write(data)
        if not self.streaming:
            self.streaming = True
            if not self.begun.done():
                self.begun.set_result(None)

    def _stream_whole(self) -> None:
        """The client asked for events, and the backend answered in one piece."""
        editor, events = self._editor, answer_conversion.as_events(self.whole)
        if events is None or isinstance(editor, PassedEvents):
            if self.streaming:
                self._refused_late()
            return
        is_chat = any(map(answer_conversion.is_chat, events))
        if self._rewrite is None and is_chat and isinstance(editor, EventEditor):
            editor.rewrite_with(TextCalls(()))
        self._put(editor.edit(event_framing.encode(events) + DONE))

    def _refused_late(self) -> None:
        """The client's stream began with a comment, and then the backend sent no answer."""
        refusal = self.refusal if self.status != 200 else refusals.in_answer(self.whole)
        if refusal is None:
            self._send_error(openai_errors.UNREADABLE, code="backend_failed")
        else:
            self._put(self._editor.refusal(refusal))

    def _send_error(self, message: str, *, code: str) -> None:
        self._put(self._editor.error(message, code))

    def _fault(self, what: str) -> None:
        if what not in self.faults:
            self.faults.append(what)

    def _end(self) -> None:
        if self.streamed:
            self.writer.end()
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None)
