"""What is changed in a stream's events on their way to the client, which is mostly nothing.

An event is parsed only where it carries the usage or an error (found by a search for a key that no
text can contain unescaped), or where a ``Rewrite`` has to see all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from stoker.engines import refusals
from stoker.gateway.api import openai_errors
from stoker.gateway.relay import event_framing
from stoker.gateway.relay.event_framing import DONE

#: In JSON a quote inside a text is escaped, so this can only be the usage's own key.
_USAGE_KEY = b'"prompt_tokens"'
#: And this only a key or a whole text.
_ERROR_KEY = b'"error"'
#: In JSON a line's end is escaped, so this can only end the stream's last event.
_DONE_END = b"[DONE]\n\n"
#: A prompt of fewer tokens is no measure of how fast prompts are read.
_MEASURABLE_TOKENS = 256


class Rewrite(Protocol):
    """Changes to a stream's events, or to a whole answer, such as calls found in text."""

    def event(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """What goes to the client in place of one event."""

    def end(self) -> list[dict[str, Any]]:
        """What is still to be sent when the stream ends."""

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """What goes to the client in place of an answer that was not streamed."""


class UsageReport:
    """What a backend reports of tokens and speed, once it has."""

    def __init__(self) -> None:
        self.usage: dict[str, Any] | None = None
        #: How fast it read the prompt, where it reports that (llama.cpp does).
        self.prefill_tokens_per_s: float | None = None

    def note(self, value: Mapping[str, Any]) -> None:
        """Take the report from an event or a whole answer, if it is in there."""
        if not isinstance(value.get("usage"), dict):
            return
        self.usage = value["usage"]
        timings = value.get("timings")
        if not isinstance(timings, dict):
            return
        read, speed = timings.get("prompt_n"), timings.get("prompt_per_second")
        if isinstance(read, int) and isinstance(speed, int | float) and speed > 0:
            self.prefill_tokens_per_s = speed if read >= _MEASURABLE_TOKENS else None


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

    def edit(self, data: bytes) -> bytes:
        """What goes to the client in place of these whole events; may be nothing."""
        if self.saw_done:
            return b""
        if not data.isascii():
            data = self._valid_utf8(data)
        if _DONE_END in data:
            self.saw_done = True
            data = data[: data.index(_DONE_END)]
            data = data[: data.rfind(b"\n") + 1]
        if self._rewrite is not None or _USAGE_KEY in data or _ERROR_KEY in data:
            data = b"".join(self._look_into(event) for event in event_framing.split(data))
        if self.saw_done:
            data += self.rest_of_rewrite() + DONE
        return data

    def finish(self, rest: bytes) -> bytes:
        """What is still to be sent where the stream ended with ``rest``: always up to a DONE."""
        last = b""
        if event_framing.is_whole(rest):
            last = self.edit(rest + b"\n\n")
        elif rest:
            self._fault("ended within an event")
        if self.saw_done:
            return last
        self._fault("ended without [DONE]")
        return last + self.rest_of_rewrite() + DONE

    def rest_of_rewrite(self) -> bytes:
        """What the rewrite has held back; it sees nothing after that."""
        rewrite, self._rewrite = self._rewrite, None
        return event_framing.encode(rewrite.end()) if rewrite else b""

    def _look_into(self, event: bytes) -> bytes:
        """One event, after the usage was taken from it and the rewrite made."""
        fails = _ERROR_KEY in event
        if self._rewrite is None and _USAGE_KEY not in event and not fails:
            return event
        value = self._parsed(event)
        if value is None:
            return event
        refusal = refusals.of_answer(value) if fails else None
        if refusal is not None:
            return b"data: " + openai_errors.refused(refusal, 500) + b"\n\n"
        if isinstance(value.get("usage"), dict):
            self._report.note(value)
            if not value.get("choices") and not self._wants_usage:
                return b""
        return event_framing.encode(self._rewrite.event(value)) if self._rewrite else event

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
