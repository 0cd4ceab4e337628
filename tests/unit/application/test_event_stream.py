"""The values of one iterator become the events of another."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from tests.support.generators import drained

from stoker.application.event_stream import as_events


def values(ended: list[str], error: Exception | None = None) -> Generator[int, None, float]:
    try:
        yield 1
        yield 2
        if error is not None:
            raise error
    finally:
        ended.append("ended")
    return 0.5


def test_each_value_is_an_event_and_the_result_is_returned() -> None:
    assert drained(as_events(str, values([]))) == (["1", "2"], 0.5)


def test_an_error_comes_after_the_events_before_it() -> None:
    events = as_events(str, values([], ValueError("no")))
    assert (next(events), next(events)) == ("1", "2")
    with pytest.raises(ValueError, match="no"):
        next(events)


def test_closing_the_events_ends_what_yields_the_values() -> None:
    ended: list[str] = []
    events = as_events(str, values(ended))
    next(events)
    assert ended == []
    events.close()
    assert ended == ["ended"]
