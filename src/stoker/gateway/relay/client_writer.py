"""The client's end of a stream: bytes straight to its transport, and a backend made to wait."""

from __future__ import annotations

import asyncio
from typing import Protocol

#: Bytes that may wait for a slow client before the backend is made to wait too.
_HIGH_WATER_BYTES = 256 * 1024
_DRAIN_POLL_S = 0.02


class Pausable(Protocol):
    """What is read from the backend, and can be made to wait."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read again."""


class ClientWriter:
    """Holds what is written until ``attach``, and from then on writes it through."""

    def __init__(self, connection: Pausable | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        #: What waits for the head of the answer to be sent.
        self.pending: list[bytes] = []
        self._transport: asyncio.WriteTransport | None = None
        self._has_written = False
        self._silent_since = self._loop.time()
        self._chunked = False
        self._paused = False
        self._ended = False

    def write(self, data: bytes) -> None:
        """Send whole events, never none: an empty chunk would end the transfer."""
        self._has_written = True
        transport = self._transport
        if transport is None:
            self.pending.append(data)
            return
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        if transport.get_write_buffer_size() > _HIGH_WATER_BYTES and not self._paused:
            self._pause()

    def silent_s(self, now: float) -> float:
        """How long nothing was written: seconds, of the time between two calls of this."""
        if self._has_written:
            self._has_written, self._silent_since = False, now
        return now - self._silent_since

    def take_pending(self) -> bytes:
        """What has come so far, to be sent along with the head."""
        first = b"".join(self.pending)
        self.pending.clear()
        return first

    def attach(self, transport: asyncio.WriteTransport, *, chunked: bool) -> None:
        """From now on write straight to the client's transport, behind what was written."""
        waiting = self.take_pending()
        self._transport, self._chunked = transport, chunked
        if waiting:
            self.write(waiting)

    def end(self) -> None:
        """Nothing more comes: the backend's connection is free for another request."""
        self._ended = True
        self._resume()

    def _pause(self) -> None:
        if self._connection is not None:
            self._paused = True
            self._connection.pause()
            self._loop.call_later(_DRAIN_POLL_S, self._check_drained)

    def _check_drained(self) -> None:
        if self._ended or self._transport is None:
            return
        if self._transport.get_write_buffer_size() > _HIGH_WATER_BYTES // 2:
            self._loop.call_later(_DRAIN_POLL_S, self._check_drained)
            return
        self._resume()

    def _resume(self) -> None:
        if self._paused and self._connection is not None:
            self._paused = False
            self._connection.resume()
