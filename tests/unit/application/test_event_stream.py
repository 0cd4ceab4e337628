"""Work that reports through a callback becomes an iterator of events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

import pytest

from stoker.application.event_stream import reported


def collected(events: Generator[str, None, int]) -> tuple[list[str], int]:
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value


def test_each_report_is_an_event_and_the_result_is_returned() -> None:
    def work(report: Callable[[int], None]) -> int:
        report(1)
        report(2)
        return 3

    assert collected(reported(str, work)) == (["1", "2"], 3)


def test_an_error_comes_after_the_reports_before_it() -> None:
    def work(report: Callable[[int], None]) -> int:
        report(1)
        raise ValueError("no")

    events = reported(str, work)
    assert next(events) == "1"
    with pytest.raises(ValueError, match="no"):
        next(events)


def test_closing_the_events_ends_the_work_at_its_next_report() -> None:
    closed, ended = threading.Event(), threading.Event()

    def work(report: Callable[[int], None]) -> int:
        try:
            report(1)
            closed.wait(10)
            report(2)
        finally:
            ended.set()
        return 3

    events = reported(str, work)
    next(events)
    events.close()
    closed.set()
    assert ended.wait(10)
