"""A trial is kept where it is faster every time and beyond noise, and undone where it was luck."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.generators import drained

from stoker.application.trial_search import Found, Judged, Pairs, SearchEvent, search
from stoker.errors import StokerError
from stoker.models import Model
from stoker.planning import Argument, MemoryPrediction, Plan, Trial

PLAN = Plan(
    model=Model("m", "gguf", "file", "m"),
    engine="llama.cpp",
    max_model_len=1024,
    parallel=1,
    arguments=(Argument("threads", 4, ""), Argument("batch", 64, "")),
    memory=MemoryPrediction(1, 1, 1, 10),
)


def trial(**values: int) -> Trial:
    return Trial(tuple(Argument(name, value, "") for name, value in values.items()))


TRIALS = (trial(threads=2), trial(threads=8), trial(batch=256))


def values(plan: Plan) -> Mapping[str, object]:
    return {a.name: a.value for a in plan.arguments}


def searched(
    seconds: Callable[[Mapping[str, object]], float],
    *,
    time_left: Callable[[], float] = lambda: 1e9,
    known: Mapping[str, float | None] | None = None,
    trials: Sequence[Trial] = TRIALS,
) -> tuple[Found, list[SearchEvent]]:
    """The search on an engine that takes ``seconds`` under these arguments."""

    def measure(plan: Plan) -> float:
        return seconds(values(plan))

    events, found = drained(search(PLAN, trials, measure, time_left, known or {}))
    return found, events


def judged(events: list[SearchEvent]) -> dict[str, Judged]:
    return {event.trial.name: event for event in events if isinstance(event, Judged)}


def test_what_helps_is_kept_and_what_comes_later_is_tried_on_top_of_it() -> None:
    found, events = searched(
        lambda a: 10.0 / (2 if a["threads"] == 8 else 1) / (1.5 if a["batch"] == 256 else 1)
    )
    assert (found.plan.argument("threads"), found.plan.argument("batch")) == (8, 256)
    assert found.gain == pytest.approx(3.0)
    assert judged(events)["batch = 256"].gain == pytest.approx(1.5)
    assert not judged(events)["threads = 2"].kept


def test_where_nothing_is_faster_the_plan_itself_is_found() -> None:
    found, events = searched(lambda _: 10.0)
    assert found.plan is PLAN
    assert found.gain == 1.0
    assert not any(event.kept for event in judged(events).values())


def test_less_than_three_percent_is_not_worth_an_argument() -> None:
    found, _ = searched(lambda a: 9.8 if a["threads"] == 8 else 10.0)
    assert found.plan is PLAN


def test_a_change_that_the_engine_does_not_start_with_is_reported_and_left() -> None:
    def seconds(arguments: Mapping[str, object]) -> float:
        if arguments["threads"] == 2:
            raise StokerError("The engine ended.")
        return 10.0

    found, events = searched(seconds)
    refused = judged(events)["threads = 2"]
    assert (refused.gain, refused.kept, refused.problem) == (None, False, "The engine ended.")
    assert found.plan is PLAN


def test_what_was_measured_before_is_not_measured_again() -> None:
    _, events = searched(lambda _: 10.0, known={"threads = 2": 0.5, "batch = 256": None})
    assert list(judged(events)) == ["threads = 8"]


def test_when_the_time_is_up_the_rest_is_left_for_the_next_time() -> None:
    left = iter([100.0, 100.0, 100.0, 0.0])
    found, events = searched(lambda _: 10.0, time_left=lambda: next(left))
    assert found.is_partial
    assert list(judged(events)) == ["threads = 2"]


def test_luck_in_the_first_three_does_not_pass_the_last_check() -> None:
    """The machine was busy whenever the plan was measured beside the trial, and never after."""
    moments: Iterator[float] = iter([10, 9, 10, 9, 10, 9, *[10] * 30])
    found, events = searched(lambda a: next(moments) if a["batch"] == 64 else 20.0)
    assert judged(events)["threads = 2"].kept
    assert found.plan is PLAN


@given(
    without=st.lists(st.floats(9.0, 11.0), min_size=3, max_size=3),
    with_it=st.lists(st.floats(9.0, 11.0), min_size=3, max_size=3),
)
def test_one_time_in_which_it_was_not_faster_is_enough_against_it(
    without: list[float], with_it: list[float]
) -> None:
    pairs = Pairs(tuple(without), tuple(with_it))
    slower = any(a < b for a, b in zip(without, with_it, strict=True))
    assert not (pairs.is_better and slower)


def test_one_that_is_far_slower_is_measured_once() -> None:
    measured = []

    def seconds(arguments: Mapping[str, object]) -> float:
        measured.append(arguments["threads"])
        return 30.0 if arguments["threads"] == 2 else 10.0

    searched(seconds)
    assert measured.count(2) == 1


def test_a_trial_that_changes_nothing_is_not_measured() -> None:
    same = replace(PLAN, arguments=(Argument("threads", 2, ""), Argument("batch", 256, "")))
    events = list(search(same, TRIALS[::2], lambda _: 1.0, lambda: 1e9))
    assert events == []


def test_where_the_plan_itself_does_not_start_no_trial_is_blamed() -> None:
    def seconds(arguments: Mapping[str, object]) -> float:
        if arguments["batch"] == 64:
            raise StokerError("The engine ended.")
        return 10.0

    with pytest.raises(StokerError, match="The engine ended"):
        searched(seconds)


def test_what_no_longer_starts_at_the_last_check_is_not_found() -> None:
    starts = iter([*[True] * 3, False])

    def seconds(arguments: Mapping[str, object]) -> float:
        if arguments["threads"] == 2 and not next(starts):
            raise StokerError("The engine ended.")
        return 5.0 if arguments["threads"] == 2 else 10.0

    found, events = searched(seconds, trials=TRIALS[:1])
    assert judged(events)["threads = 2"].kept
    assert found.plan is PLAN
