"""Spans of time over which use is counted, in buckets: a moving minute, days and months in UTC."""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

_DAY_S = 86_400


class Window(Protocol):
    """How long use counts. Times are seconds since 1970, as ``time.time`` gives them."""

    @property
    def name(self) -> str:
        """Its name in counters and messages, such as ``day``."""

    def bucket(self, now: float) -> int:
        """The bucket that use of now is counted in."""

    def first(self, newest: int) -> int:
        """The oldest bucket that counts beside the newest one."""

    def last(self, newest: int) -> int:
        """The latest one: another gateway's clock may be a moment ahead.

        What is later was counted by a clock that was wrong. It would be held against its owner
        until that time comes, which may be years.
        """

    def end_of(self, bucket: int) -> float:
        """When the bucket no longer counts."""

    @property
    def kept_s(self) -> int:
        """How long a store keeps a counter that is not used: two windows, as clocks may differ."""


@dataclass(frozen=True, slots=True)
class MovingWindow:
    """The last ``seconds``, in buckets of a second.

    The oldest bucket counts as a whole until its last moment is old enough, so that no span of
    ``seconds`` ever holds more than the limit; use is free again up to a second late.
    """

    name: str
    seconds: int

    def bucket(self, now: float) -> int:
        """The second."""
        return int(now)

    def first(self, newest: int) -> int:
        """Also the second that is partly within the window."""
        return newest - self.seconds

    def last(self, newest: int) -> int:
        """As far ahead as the window reaches back."""
        return newest + self.seconds

    def end_of(self, bucket: int) -> float:
        """A window after the end of its second."""
        return bucket + self.seconds + 1.0

    @property
    def kept_s(self) -> int:
        """Two windows."""
        return 2 * self.seconds


@dataclass(frozen=True, slots=True)
class DayWindow:
    """The day in UTC."""

    name: str = "day"

    def bucket(self, now: float) -> int:
        """Days since 1970."""
        return int(now // _DAY_S)

    def first(self, newest: int) -> int:
        """Only the day itself."""
        return newest

    def last(self, newest: int) -> int:
        """The next day."""
        return newest + 1

    def end_of(self, bucket: int) -> float:
        """Midnight."""
        return float((bucket + 1) * _DAY_S)

    @property
    def kept_s(self) -> int:
        """Two days."""
        return 2 * _DAY_S


@dataclass(frozen=True, slots=True)
class MonthWindow:
    """The month in UTC."""

    name: str = "month"

    def bucket(self, now: float) -> int:
        """Months since the year 0."""
        date = time.gmtime(now)
        return date.tm_year * 12 + date.tm_mon - 1

    def first(self, newest: int) -> int:
        """Only the month itself."""
        return newest

    def last(self, newest: int) -> int:
        """The next month."""
        return newest + 1

    def end_of(self, bucket: int) -> float:
        """The first moment of the next month."""
        year, month = divmod(bucket + 1, 12)
        return float(timegm((year, month + 1, 1, 0, 0, 0)))

    @property
    def kept_s(self) -> int:
        """Two months."""
        return 62 * _DAY_S


MINUTE = MovingWindow("minute", 60)
#: A request under way is counted again before this is over (``RENEW_S``), so that those of a
#: gateway that was killed stop counting.
LEASE = MovingWindow("lease", 60)
#: How often requests under way are counted again: three times in a lease.
RENEW_S = 20.0
DAY = DayWindow()
MONTH = MonthWindow()
#: Those that a restart must not forget.
CALENDAR: tuple[Window, ...] = (DAY, MONTH)


@lru_cache(maxsize=4)
def buckets_in(second: int) -> Mapping[str, int]:
    """The bucket of each window, by its name; every bucket is a whole number of seconds."""
    return {window.name: window.bucket(second) for window in (MINUTE, LEASE, *CALENDAR)}
