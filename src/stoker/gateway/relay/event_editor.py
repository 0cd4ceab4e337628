"""What is changed in a stream's events on their way to the client, which is mostly nothing.

An event is parsed only where it carries the usage, an error or content in parts (found by a search
for keys that no text can contain unescaped), or where a ``Rewrite`` has to see all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from stoker.engines import refusals
from stoker.engines.refusals import Refusal
from stoker.gateway.api import openai_errors
from stoker.gateway.relay import event_framing, normal_message
from stoker.gateway.relay.event_framing import DONE
from stoker.gateway.usage.usage_report import UsageReport

#: In JSON a quote inside a text is escaped, so these can only be keys or whole texts.
_ERROR_KEY, _USAGE_KEY, _CONTENT_KEY = b'"error"', b'"prompt_tokens"', b'"content":'
_CONTENT_PARTS = re.compile(rb'"content":\s*[\[{]')
#: What stands behind a content that is text or null.
_TEXT_BEGINS = b'"n'
_D, _OBJECT_END = b"d}"
#: In JSON a line's end is escaped, so this can only end the stream's last event.
_DONE_END = b"[DONE]\n\n"


class Rewrite(Protocol):
    """Changes to a stream's events, or to a whole answer, such as calls found in text."""

    def event(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """What goes to the client in place of one event."""

    def end(self, *, complete: bool) -> list[dict[str, Any]]:
        """What is still to be sent when the stream ends; ``complete`` where it ended by itself."""

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """What goes to the client in place of an answer that was not streamed."""


class AsItIs:
    """A ``Rewrite`` that changes nothing: of completions, which have no calls."""

    def event(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The event."""
        return [event]

    def end(self, *, complete: bool) -> list[dict[str, Any]]:
        """Nothing is held back."""
        return []

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer."""
        return answer


class EventEditor:
    """Takes whole events, and returns what the client gets of them. ``fault`` notes defects."""

    def __init__(
        self,
        report: UsageReport,
        fault: Callable[[str], None],
        *,
        wants_usage: bool,
        rewrite: Rewrite | None,
    ) -> None:
        self._report = report
        self._fault = fault
        self._wants_usage = wants_usage
        self._rewrite = rewrite
        #: The stream ended as it should; nothing comes after ``[DONE]``.
        self.saw_done = False
        #: It had an error, so the answer is not complete.
        self._refused = False

    def rewrite_with(self, rewrite: Rewrite) -> None:
        """Show all events to ``rewrite`` from now on."""
        self._rewrite = rewrite

    def edit(self, data: bytes, *, one_line: bool = False) -> bytes:
        """What goes to the client in place of these whole events; may be nothing.

        With ``one_line`` they are one event, whose data is in its only line.
        """
        if self.saw_done:
            return b""
        if not data.isascii():
            data = event_framing.valid_utf8(data, self._fault)
        if not one_line and (data[0] != _D or b"\ne" in data or b"\n{" in data):
            data = event_framing.errors_as_data(data)  # it may leave nothing
        if not (one_line and data[-3] == _OBJECT_END) and data.find(_DONE_END) >= 0:
            self.saw_done = True
            data = data[: data.index(_DONE_END)]
            data = data[: data.rfind(b"\n") + 1]
        if self._rewrite is not None or _is_parsed(data):
            data = b"".join(self._look_into(event) for event in event_framing.split(data))
        if self.saw_done:
            data += self.rest_of_rewrite(complete=not self._refused) + DONE
        return data

    def finish(self, rest: bytes) -> bytes:
        """What is still to be sent where the stream ended with ``rest``: always up to a DONE."""
        whole, _, end = event_framing.errors_as_data(rest).rstrip(b"\n").rpartition(b"\n\n")
        last = self.edit(whole + b"\n\n") if whole else b""
        if event_framing.is_whole(end):
            last += self.edit(end + b"\n\n")
        elif end and not self.saw_done:
            self._fault("ended within an event")
        if self.saw_done:
            return last
        self._fault("ended without [DONE]")
        return last + self.rest_of_rewrite() + DONE

    def error(self, message: str, code: str) -> bytes:
        """An error as an event of this API, which ends the stream."""
        event = openai_errors.body(message, kind="server_error", code=code)
        return self.rest_of_rewrite() + b"data: " + event + b"\n\n" + DONE

    def refusal(self, refusal: Refusal) -> bytes:
        """A backend's refusal as an event of this API, which ends the stream."""
        event = openai_errors.refused(refusal, 500)
        return self.rest_of_rewrite() + b"data: " + event + b"\n\n" + DONE

    def rest_of_rewrite(self, *, complete: bool = False) -> bytes:
        """What the rewrite has held back; it sees nothing after that."""
        rewrite, self._rewrite = self._rewrite, None
        return event_framing.encode(rewrite.end(complete=complete)) if rewrite else b""

    def _look_into(self, event: bytes) -> bytes:
        """One event, after the usage was taken from it and the rewrite made."""
        if self._rewrite is None and not _is_parsed(event):
            return event
        value = self._parsed(event)
        if value is None:
            return event
        refusal = refusals.of_answer(value) if _ERROR_KEY in event else None
        if refusal is not None:
            self._refused = True
            return b"data: " + openai_errors.refused(refusal, 500) + b"\n\n"
        self._report.note(value)
        is_usage = isinstance(value.get("usage"), dict) and not value.get("choices")
        if is_usage and not self._wants_usage:
            return b""
        if self._rewrite is not None:
            return event_framing.encode(self._rewrite.event(value))
        normal = normal_message.normal_answer(value)
        return event if normal is value else event_framing.encode([normal])

    def _parsed(self, event: bytes) -> dict[str, Any] | None:
        """The JSON object of an event; ``None`` for comments and what is not an object."""
        data = event_framing.payload(event)
        return event_framing.parsed(data, self._fault) if data else None


def _is_parsed(data: bytes) -> bool:
    """Whether one of these events has to be read.

    ``partition`` finds a key in half the time that ``find`` takes, which parses its arguments, and
    ``in``, which writes the message of an error that it then drops.
    """
    if data.partition(_USAGE_KEY)[1] or data.partition(_ERROR_KEY)[1]:
        return True
    _, found, rest = data.partition(_CONTENT_KEY)
    while found:
        if rest[0] not in _TEXT_BEGINS:
            return _CONTENT_PARTS.search(data) is not None
        _, found, rest = rest.partition(_CONTENT_KEY)
    return False
