"""Streams of the APIs that are passed on as they are: read for their usage, and ended in their way.

None of these ends with ``[DONE]``, so the type of the last event shows whether a stream is whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from stoker.engines import refusals
from stoker.engines.refusals import Refusal
from stoker.gateway.api.stream_formats import StreamFormat
from stoker.gateway.relay import event_framing
from stoker.gateway.usage.usage_report import USAGE_KEYS, UsageReport

_NUMBER = re.compile(rb'"sequence_number":\s*(\d+)')
_ERROR_KEY = b'"error"'


class PassedEvents:
    """Takes whole events, and returns what the client gets of them. ``fault`` notes defects."""

    def __init__(
        self, report: UsageReport, fault: Callable[[str], None], form: StreamFormat
    ) -> None:
        self._report = report
        self._fault = fault
        self._form = form
        self._last = b""
        self._ended = False

    @property
    def saw_done(self) -> bool:
        """The stream ended as it should: its last event has come."""
        return self._ended or self._form.is_last(_value(self._last))

    def edit(self, data: bytes, *, one_line: bool = False) -> bytes:
        """What goes to the client in place of these whole events; may be nothing.

        With ``one_line`` they are one event, whose data is in its only line.
        """
        if self._ended or not data:
            return b""
        if not data.isascii():
            data = data.decode("utf-8", errors="replace").encode()
        if b"[DONE]" not in data and _ERROR_KEY not in data and not _has_usage(data):
            self._last = data if one_line else _last_event(data) or self._last
            return data
        return b"".join(self._passed(event) for event in event_framing.split(data))

    def finish(self, rest: bytes) -> bytes:
        """What is still to be sent where the stream ended with ``rest``."""
        last = self.edit(rest + b"\n\n") if _value(rest) else b""
        if self.saw_done:
            return last
        self._fault(
            "ended within an event" if rest and not last else "ended without its last event"
        )
        self._ended = True
        message = "The model's server ended the answer before it was complete. Send it again."
        return last + self.error(message, "backend_failed")

    def error(self, message: str, code: str) -> bytes:
        """An error as an event of this API, which ends the stream."""
        number = _NUMBER.search(self._last)
        return self._form.error(message, code, int(number[1]) + 1 if number else 0)

    def refusal(self, refusal: Refusal) -> bytes:
        """A backend's refusal as an event of this API, which ends the stream."""
        return self.error(refusal.message, refusal.code or "backend_refused")

    def _passed(self, event: bytes) -> bytes:
        if (
            self._ended or event_framing.payload(event).strip() == b"[DONE]"
        ):  # some proxies end all streams so
            return b""
        value = _value(event)
        self._report.note(value)
        refusal = None if _is_of_this_api(value) else refusals.of_answer(value)
        if refusal:  # an engine that reports in OpenAI's form within another API's stream
            event = self.error(refusal.message, "backend_failed")
        if not event.startswith(b":"):
            self._last = event
        return event


def _is_of_this_api(value: dict[str, Any]) -> bool:
    """Whether it is an event of an API that names the type of each; errors of vLLM have one too."""
    return "type" in value and value.get("object") != "error"


def _last_event(data: bytes) -> bytes:
    """The last of whole events that is no comment; empty where all are."""
    last = data.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
    if not last.startswith(b":"):
        return last
    events = (event for event in reversed(event_framing.split(data)) if event[:1] != b":")
    return next(events, b"")


def _has_usage(data: bytes) -> bool:
    return any(key in data for key in USAGE_KEYS)


def _value(event: bytes) -> dict[str, Any]:
    """The JSON object of an event; empty where it has none."""
    try:
        value = orjson.loads(event_framing.payload(event))
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
