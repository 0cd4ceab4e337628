"""How far a backend has read one request's prompt, from events that it sends while it reads.

They are asked for less for what they report than for being sent: a server that writes to a client
that has left notices so after the batch in hand. llama.cpp otherwise looks only after a second in
which no client got anything, so that beside another stream it reads the whole prompt in vain.
"""

from __future__ import annotations

from typing import Any

import orjson

from stoker.gateway.relay import event_framing


class PrefillProgress:
    """Takes the events that have ``key`` out of a stream, and keeps what the last one reported."""

    def __init__(self, key: str) -> None:
        self._key = key
        #: What events about progress have in them. In JSON a quote inside a text is escaped, so
        #: this can only be a key or a whole text.
        self._mark = orjson.dumps(key)
        self._last: dict[str, Any] = {}

    @property
    def unread_tokens(self) -> int:
        """Prompt tokens that the backend has still to read; 0 before the first report."""
        total, read = self._last.get("total"), self._last.get("processed")
        return max(0, total - read) if isinstance(total, int) and isinstance(read, int) else 0

    @property
    def prompt_tokens(self) -> int:
        """The tokens of the prompt while it is read; 0 before the first report and afterwards."""
        return int(self._last["total"]) if self.unread_tokens else 0

    def look_at(self, piece: bytes) -> None:
        """Keep what a piece of an answer reports that is joined when it is complete."""
        self.taken_from(piece)

    def taken_from(self, events: bytes) -> bytes:
        """These whole events without those that are about progress alone."""
        if self._mark not in events:
            return events
        return b"".join(e for e in event_framing.split(events) if not self._takes(e))

    def _takes(self, event: bytes) -> bool:
        try:
            value = orjson.loads(event_framing.payload(event))
        except orjson.JSONDecodeError:
            return False
        reported = value.get(self._key) if isinstance(value, dict) else None
        if not isinstance(reported, dict):
            return False
        self._last = reported
        # An event with a type is one of its API's own (``response.in_progress``).
        return "type" not in value
