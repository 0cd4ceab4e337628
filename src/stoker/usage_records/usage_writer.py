"""Writes usage in a thread of its own, so that a request costs the event loop one append."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable

from stoker.usage_records.usage_row import UsageRow
from stoker.usage_records.usage_store import DAY_MS, UsageStore, reason

_log = logging.getLogger("stoker.gateway")

#: How often rows are written. A process that is killed loses those of this time.
WRITE_EVERY_S = 0.5
#: Rows that wait while the database is away, some 500 bytes each: an hour of 14 requests a second.
MOST_WAITING = 50_000
#: Rows of one transaction, and rows that are deleted at a time: others can write in between.
_BATCH_ROWS = 500
#: How often rows are looked for that are old enough to be deleted.
_EXPIRE_EVERY_S = 3600.0
#: How long the end of the process waits for a database that does not answer.
_CLOSE_S = 5.0
#: The lowest bits of a row's number: those of this process, so that no two write the same.
_OWN_BITS = 10


class UsageWriter:
    """Takes rows from the event loop, and writes them twice a second."""

    def __init__(
        self,
        store: UsageStore,
        days: int,
        on_lost: Callable[[int], object],
        *,
        most_waiting: int = MOST_WAITING,
        write_every_s: float = WRITE_EVERY_S,
    ) -> None:
        """Rows are deleted after ``days``. ``on_lost`` is called with a number of rows."""
        self.store = store
        self._days = days
        self._on_lost = on_lost
        self._most_waiting = most_waiting
        self._write_every_s = write_every_s
        self._waiting: deque[UsageRow] = deque(maxlen=most_waiting)
        #: The rows that are being written, by the numbers that a retry keeps.
        self._batch: list[tuple[int, UsageRow]] = []
        self._last_id = secrets.randbits(_OWN_BITS)
        self._stop = threading.Event()
        self._failing = False
        self._losing = False
        self._expire_at = 0.0
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, row: UsageRow) -> None:
        """Take a row to be written. Where too many wait, the oldest is lost."""
        if len(self._waiting) == self._most_waiting:
            self._lose()
        self._waiting.append(row)

    def close(self) -> None:
        """Write what waits, and end. Blocks; a database that is away is given a few seconds."""
        self._stop.set()
        self._thread.join(_CLOSE_S * 2)
        left = len(self._waiting) + len(self._batch)
        if left:
            self._on_lost(left)
            _log.error("%d requests are missing in the usage: %s is away", left, self.store.title)

    def _run(self) -> None:
        while not self._stop.wait(self._write_every_s):
            if self._write():
                self._expire()
        deadline = time.monotonic() + _CLOSE_S
        while not self._write() and time.monotonic() < deadline:
            time.sleep(self._write_every_s)
        self.store.close()

    def _write(self) -> bool:
        """Write all that waits; whether that succeeded."""
        while self._batch or self._waiting:
            if not self._batch:
                self._batch = self._taken()
            try:
                self.store.write(self._batch)
            except Exception as error:  # whatever a driver raises, the next try may succeed
                self._note_failure(error)
                return False
            self._batch = []
            self._note_success()
        return True

    def _taken(self) -> list[tuple[int, UsageRow]]:
        count = min(len(self._waiting), _BATCH_ROWS)
        return [(self._next_id(), self._waiting.popleft()) for _ in range(count)]

    def _next_id(self) -> int:
        """A number above the last one: the time in microseconds, and the bits of this process."""
        step = 1 << _OWN_BITS
        now = (time.time_ns() // 1000) * step + self._last_id % step
        self._last_id = max(self._last_id + step, now)
        return self._last_id

    def _expire(self) -> None:
        """Delete a few of the rows that are too old: the rest is for the next times."""
        now = time.monotonic()
        if now < self._expire_at:
            return
        self._expire_at = now + _EXPIRE_EVERY_S
        oldest_ms = time.time_ns() // 1_000_000 - self._days * DAY_MS
        try:
            deleted = self.store.delete_before(oldest_ms, _BATCH_ROWS)
        except Exception as error:
            self._note_failure(error)
        else:
            if deleted == _BATCH_ROWS:
                self._expire_at = now

    def _note_failure(self, error: Exception) -> None:
        if not self._failing:
            _log.warning(
                "usage can't be written to %s: %s. Requests are answered all the same, and the "
                "last %d are kept until it can",
                self.store.title,
                reason(error),
                self._most_waiting,
            )
        self._failing = True

    def _note_success(self) -> None:
        if self._failing:
            _log.info("usage is written to %s again", self.store.title)
        self._failing = self._losing = False

    def _lose(self) -> None:
        self._on_lost(1)
        if not self._losing:
            _log.error(
                "the usage of the oldest requests is lost: %d wait, and %s is away",
                self._most_waiting,
                self.store.title,
            )
        self._losing = True
