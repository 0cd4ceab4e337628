"""The counts of a gateway that shares them with no other; quotas are kept in a file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from stoker.gateway.limiting.counters import Charge, Counter, Outcome
from stoker.gateway.limiting.memory_counters import MemoryCounters
from stoker.gateway.limiting.use_windows import CALENDAR
from stoker.private_files import make_private, write_private

_log = logging.getLogger("stoker.gateway")


class _KeptUse(msgspec.Struct, frozen=True, array_like=True):
    """One amount in the file."""

    name: str
    window: str
    bucket: int
    amount: int


class QuotaFile:
    """What was used of the quotas of this day and this month, for the next start.

    One gateway at a time keeps its counts there: two would overwrite each other's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved = b"[]"
        # Freed by the system however the gateway ends; it is taken and freed in several threads.
        self._lock = FileLock(f"{path}.lock", thread_local=False)
        self._is_ours: bool | None = None

    def claim(self) -> bool:
        """Whether the file is this gateway's until ``release``: decided by the first call."""
        if self._is_ours is None:
            self._is_ours = self._locked()
        return self._is_ours

    def _locked(self) -> bool:
        try:
            make_private(self._path.parent)
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError:
            return True  # what can't be locked can't be written either, which is logged there
        return True

    def release(self) -> None:
        """Leave the file to the next gateway."""
        self._lock.release()

    def load(self) -> list[Charge]:
        """What was kept; nothing where there is no file, or none that can be read."""
        windows = {window.name: window for window in CALENDAR}
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=list[_KeptUse])
        except FileNotFoundError:
            return []
        except (OSError, RecursionError, UnicodeDecodeError, msgspec.DecodeError) as error:
            _log.warning("quotas begin at 0: %s can't be read: %s", self._path, error)
            return []
        return [
            # The limit is that of the first request that meets the counter.
            Charge(Counter(use.name, "tokens", 0, windows[use.window]), use.bucket, use.amount)
            for use in kept
            if use.window in windows
        ]

    def save(self, charges: Sequence[Charge]) -> None:
        """Keep what is counted by day and month. The names hold owners: the file is private."""
        kept = [
            _KeptUse(charge.counter.name, charge.counter.window.name, charge.bucket, charge.amount)
            for charge in charges
            if charge.counter.window in CALENDAR
        ]
        content = msgspec.json.encode(kept)
        if content == self._saved or not self.claim():
            return
        try:
            make_private(self._path.parent)
            write_private(self._path, content)
        except OSError as error:
            _log.warning("quotas were not kept: %s can't be written: %s", self._path, error)
            return
        self._saved = content


class LocalCounters:
    """Counts in memory. With a file, a killed gateway forgets 20 s of its quotas at most."""

    def __init__(self, file: QuotaFile | None = None) -> None:
        self._memory = MemoryCounters()
        self._file = file
        self._saving: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Read what was used before the restart."""
        if self._file is None:
            return
        if not await asyncio.to_thread(self._file.claim):
            _log.warning(
                "another gateway runs with this configuration: each counts the limits of a day "
                "and a month by itself, and this one forgets its counts when it stops. Stop one "
                "of them, or set limits_store, so that they count together"
            )
        self._memory.add(await asyncio.to_thread(self._file.load))

    async def take(self, charges: Sequence[Charge]) -> Outcome:
        """Count all charges, or none where one of them exceeds its counter's limit."""
        return self._memory.take(charges)

    def add(self, charges: Collection[Charge]) -> None:
        """Count these whatever the limits are; negative amounts are given back."""
        self._memory.add(charges)

    async def tidy(self, now: float) -> None:
        """Forget what no longer counts, and keep what a restart must not forget."""
        self._memory.tidy(now)
        if self._file is not None:
            saving = asyncio.to_thread(self._file.save, self._memory.all())
            self._saving = asyncio.ensure_future(saving)
            await asyncio.shield(self._saving)

    async def close(self) -> None:
        """Keep the quotas: after what is being written, which is older."""
        if self._saving is not None:
            await asyncio.wait({self._saving})
        if self._file is not None:
            self._file.save(self._memory.all())
            self._file.release()
