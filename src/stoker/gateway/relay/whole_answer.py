"""An answer that is not relayed event by event: collected, and read in its normal form."""

from __future__ import annotations

from typing import Any

import orjson

from stoker.engines import NativeCompletions
from stoker.gateway.api import lone_surrogates
from stoker.gateway.relay import answer_conversion, normal_message
from stoker.gateway.relay.event_editor import Rewrite
from stoker.gateway.relay.event_framing import MAX_PART_BYTES, PartTooLargeError
from stoker.gateway.relay.prefill_progress import PrefillProgress
from stoker.gateway.relay.tool_call_rewriter import TextCalls


class WholeAnswer:
    """The body of an answer, in the pieces in which it came."""

    def __init__(
        self,
        choices: int,
        rewrite: Rewrite | None,
        native: NativeCompletions | None,
        reading: PrefillProgress | None,
    ) -> None:
        self._choices = choices
        self._rewrite = rewrite
        self._native = native
        self._reading = reading
        self._pieces: list[bytes] = []
        self._bytes = 0

    @property
    def body(self) -> bytes:
        """What has come so far."""
        return b"".join(self._pieces)

    def add(self, data: bytes) -> None:
        """Keep the next piece. Raises ``PartTooLargeError``, and forgets all, above 64 MB."""
        if self._reading is not None:
            self._reading.look_at(data)
        self._bytes += len(data)
        if self._bytes > MAX_PART_BYTES:
            self._pieces.clear()
            raise PartTooLargeError("the answer is larger than 64 MB")
        self._pieces.append(data)

    def in_normal_form(self) -> tuple[Any, bytes]:
        """The answer in its normal form: its value, and its JSON.

        Raises ``ValueError`` where the body is neither JSON nor a complete stream of events.
        """
        body = self.body
        try:
            value = lone_surrogates.loads(body)
        except orjson.JSONDecodeError:
            value, normal = None, self._joined(body)
        else:
            normal = self._normal(self._not_native(value))
        return normal, body if normal is value else orjson.dumps(normal)

    def _not_native(self, value: Any) -> Any:
        """An answer in the form of the engine's own API as one of OpenAI's."""
        if self._native is None or not isinstance(value, dict) or "error" in value:
            return value
        return self._native.whole(value)

    def _normal(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if self._rewrite is not None:
            return self._rewrite.whole(value)
        return normal_message.normal_answer(value)

    def _joined(self, body: bytes) -> dict[str, Any]:
        """The answer of a backend that sent events where none were asked for."""
        if self._reading is not None:
            body = self._reading.taken_from(body)
        events = answer_conversion.events_in(body)
        if events is None:
            raise ValueError("the body is no answer")
        refusal = next((event for event in events if event.get("error")), None)
        if refusal is not None:
            return refusal
        if any(map(answer_conversion.is_chat, events)):
            rewrite = self._rewrite or TextCalls(())
            events = [new for event in events for new in rewrite.event(event)]
            events += rewrite.end(complete=True)
        answer = answer_conversion.joined(events, self._choices)
        if answer is None:
            raise ValueError("the events have no answer")
        return answer
