"""The events of a chat as those of another API, whose streams end in a way of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stoker.engines import refusals
from stoker.engines.refusals import Refusal
from stoker.gateway.client_apis.client_api import ApiStream
from stoker.gateway.relay import event_framing
from stoker.gateway.relay.event_editor import Rewrite
from stoker.gateway.usage.usage_report import USAGE_KEYS, UsageReport

#: Searched for before the rest is looked at: most events are pieces of text.
_ERROR_KEY = b'"error"'
_REPORTS = (*USAGE_KEYS, b'"timings"')
_CUT = "The model's server ended the answer before it was complete. Send it again."


class TranslatedEvents:
    """Takes whole events, and returns what the client gets of them. ``fault`` notes defects."""

    def __init__(
        self,
        report: UsageReport,
        fault: Callable[[str], None],
        *,
        rewrite: Rewrite,
        api: ApiStream,
    ) -> None:
        self._report = report
        self._fault = fault
        self._rewrite = rewrite
        self._api = api
        #: The client got the end of its stream; nothing comes after it.
        self.saw_done = False
        self._finished = False

    def edit(self, data: bytes, *, one_line: bool = False) -> bytes:
        """What goes to the client in place of these whole events; may be nothing.

        With ``one_line`` they are one event, whose data is in its only line.
        """
        if not data.isascii():
            data = event_framing.valid_utf8(data, self._fault)
        if one_line:
            return self._translated(data)
        return b"".join(map(self._translated, event_framing.split(data)))

    def finish(self, rest: bytes) -> bytes:
        """What is still to be sent where the stream ended with ``rest``."""
        whole, _, end = rest.rpartition(b"\n\n")
        last = self.edit(whole + b"\n\n") if whole else b""
        if event_framing.is_whole(end):
            last += self.edit(end + b"\n\n")
        if self.saw_done:
            return last
        self._fault("ended without [DONE]")
        if self._finished:
            return last + self._ended()
        return last + self.error(_CUT, "backend_failed")

    def error(self, message: str, code: str | None) -> bytes:
        """An error as an event of this API, which ends the stream."""
        if self.saw_done:
            return b""
        self.saw_done = True
        return self._events(self._rewrite.end(complete=False)) + self._api.error(message, code)

    def refusal(self, refusal: Refusal) -> bytes:
        """A backend's refusal as an event of this API, which ends the stream."""
        return self.error(refusal.message, refusal.code or "backend_refused")

    def _ended(self) -> bytes:
        self.saw_done = True
        return self._events(self._rewrite.end(complete=True)) + self._api.end()

    def _translated(self, event: bytes) -> bytes:
        if self.saw_done:
            return b""
        data = event_framing.payload(event)
        if not data:
            return event  # a comment
        if data.strip() == b"[DONE]":
            return self._ended()
        value = event_framing.parsed(data, self._fault)
        if value is None:
            return b""
        refusal = refusals.of_answer(value) if _ERROR_KEY in data else None
        if refusal is not None:
            return self.refusal(refusal)
        if any(key in data for key in _REPORTS):
            self._report.note(value)
        return self._events(self._rewrite.event(value))

    def _events(self, chunks: Sequence[dict[str, Any]]) -> bytes:
        self._finished = self._finished or any(map(_has_finish, chunks))
        return b"".join(map(self._api.event, chunks))


def _has_finish(chunk: dict[str, Any]) -> bool:
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") for choice in choices
    )
