"""Requests that were refused at the entry, counted so that no one can fill the disk with them.

Pure: the clock comes from outside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

#: The shortest time that one line sums up.
_SHORTEST_S = 1.0
#: While refusals go on, each line sums up twice the time of the one before, up to this. It begins
#: again with the shortest after as long without any.
_LONGEST_S = 60.0
#: Senders with lines of their own in each of these times; the others share one for each reason. So
#: at most 25 MB a day are written, whatever is sent, at 250 bytes a line.
_SENDERS = 16
_OTHERS = "others"


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """Why a request was refused and where it came from; ``key_id`` of a known key, or empty."""

    reason: str
    address: str
    key_id: str = ""


class RefusedEntries:
    """Counts refused requests, and gives them out from time to time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._counts: Counter[RefusedEntry] = Counter()
        self._span_s = _SHORTEST_S
        #: When what is counted now is given out.
        self._due = -math.inf

    def note(self, reason: str, address: str | None, key_id: str = "") -> None:
        """A request was refused. ``reason`` is one of a few names, such as ``wrong_key``."""
        entry = RefusedEntry(reason, address or "unknown", key_id)
        if entry not in self._counts and len(self._counts) >= _SENDERS:
            entry = RefusedEntry(reason, _OTHERS)
        if not self._counts:
            self._begin()
        self._counts[entry] += 1

    def take(self, *, all_of_them: bool = False) -> dict[RefusedEntry, int]:
        """What was counted, if it is time for it; nothing otherwise."""
        if not self._counts or (self._now() < self._due and not all_of_them):
            return {}
        counts, self._counts = dict(self._counts), Counter()
        return counts

    def _begin(self) -> None:
        """Start to count: for longer than before where the last refusals are not long past."""
        now = self._now()
        goes_on = now < self._due + _LONGEST_S
        self._span_s = min(_LONGEST_S, self._span_s * 2) if goes_on else _SHORTEST_S
        self._due = now + self._span_s
