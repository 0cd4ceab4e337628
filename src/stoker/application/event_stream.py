"""Turns work that reports through a callback into an iterator of events."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Generic, TypeVar, cast

T = TypeVar("T")
E = TypeVar("E")
R = TypeVar("R")


class _AbandonedError(Exception):
    """The reader of the events is gone."""


class _Work(Generic[T, R]):
    """Work in a thread of its own. ``reports`` ends with ``None``."""

    def __init__(self, work: Callable[[Callable[[T], None]], R]) -> None:
        self._work = work
        self.reports: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self.abandoned = False
        self.result: R | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._work(self._report)
        except BaseException as error:
            self.error = error
        self.reports.put(None)

    def _report(self, report: T) -> None:
        if self.abandoned:
            raise _AbandonedError
        self.reports.put(report)


def reported(
    event: Callable[[T], E], work: Callable[[Callable[[T], None]], R]
) -> Generator[E, None, R]:
    """Yield an ``event`` for each report of ``work`` while it runs, and return its result.

    Raises what it raises. Where the iterator is closed early, the next report ends the work.
    """
    state = _Work(work)
    threading.Thread(target=state.run, name="reported work", daemon=True).start()
    try:
        while (report := state.reports.get()) is not None:
            yield event(report)
    finally:
        state.abandoned = True
    if state.error is not None:
        raise state.error
    return cast(R, state.result)  # set where there is no error
