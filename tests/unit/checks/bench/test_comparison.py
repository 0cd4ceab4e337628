"""Measured medians beside predictions, and beside another endpoint's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.checks.bench.test_summary import answer

from stoker.checks.bench import (
    BenchReport,
    BenchTarget,
    Rung,
    Settings,
    Timing,
    against_plan,
    side_by_side,
)
from stoker.checks.bench.statistics import summarise
from stoker.engines import Backend
from stoker.models import Model
from stoker.planning import Interval, MemoryPrediction, Plan, Speed, Traffic

MODEL = Model("coder", "gguf", "disk", "coder")
#: 100 prompt tokens a second, 10 ms a token, and a factor of 1.5 either way.
PLAN = Plan(
    MODEL,
    "llama.cpp",
    8192,
    1,
    (),
    MemoryPrediction(0, 0, 0, 0),
    decode_tokens_per_s=100.0,
    prefill_tokens_per_s=100.0,
    speed=Speed(1, 500, Interval(5.0, 5.0 / 1.5, 7.5), Interval(0.01, 0.01 / 1.5, 0.015)),
)


def rung(
    timings: list[Timing], *, endpoint: int = 0, cached: bool = False, per_s: float | None = None
) -> Rung:
    load = 1.0 if per_s is None else 2.0
    summary = summarise([timings], offered_per_s=per_s, alone_s=1.0)
    return Rung(endpoint, "chat", cached, load, per_s, summary, (tuple(timings),))


def report(*rungs: Rung) -> BenchReport:
    endpoints = tuple(BenchTarget(Backend(f"http://{n}", "openai"), "coder") for n in "ab")
    return BenchReport(endpoints, Settings(), rungs, ())


def test_a_cold_prompt_alone_is_compared_by_what_is_read() -> None:
    """200 tokens at 100 a second, and the first of the answer: 2.01 s predicted, 2.4 s measured."""
    first, token = against_plan(report(rung([answer(0.0, 2.4, 11, 0.02, prompt=200)])), PLAN)
    assert first.predicted.expected == pytest.approx(2.01)
    assert first.predicted.high == pytest.approx(1.5 * 2.01)
    assert first.off == pytest.approx(2.4 / 2.01 - 1)
    assert first.within
    assert token.predicted.expected == pytest.approx(0.01)
    assert token.off == pytest.approx(1.0)
    assert not token.within


def test_what_the_cache_held_need_not_be_read() -> None:
    known = replace(answer(0.0, 0.5, 11, 0.01, prompt=200), cached_tokens=150)
    first, _ = against_plan(report(rung([known], cached=True)), PLAN)
    assert first.predicted.expected == pytest.approx(0.51)
    unknown = replace(known, cached_tokens=None)
    [token] = against_plan(report(rung([unknown], cached=True)), PLAN)
    assert token.what == "time per token"


def test_only_the_concurrency_of_the_plan_is_compared() -> None:
    loaded = rung([answer(0.0, 2.4, 11, 0.02)], per_s=2.0)
    assert against_plan(report(loaded), PLAN) == []
    assert PLAN.speed is not None
    for_two = replace(PLAN, speed=replace(PLAN.speed, concurrency=2))
    assert [d.what for d in against_plan(report(loaded), for_two)] == ["time per token"]


def test_what_is_known_of_the_measured_load_goes_before_what_the_plan_was_made_for() -> None:
    """Two at once, of 200 tokens with 150 in the cache: neither is the load of the plan."""
    asked: list[Traffic] = []

    def predict(traffic: Traffic) -> Speed:
        asked.append(traffic)
        return Speed(2, 200, Interval(0.5, 0.4, 0.6), Interval(0.02, 0.01, 0.03))

    one = replace(answer(0.0, 0.5, 11, 0.05, prompt=200), cached_tokens=150)
    two = replace(answer(0.0, 0.5, 11, 0.05, prompt=200), cached_tokens=150)
    both = rung([one, two], cached=True, per_s=2.0)
    assert both.summary.keeps_up is not False
    [token] = against_plan(report(both), PLAN, predict)
    assert token.predicted.expected == 0.02
    assert asked == [Traffic(round(both.summary.in_flight), 200, 11, 0.75)]


def test_a_load_that_queued_is_not_compared() -> None:
    """Also not with the plan's own speed, which is that of other prompts."""
    assert PLAN.speed is not None
    for_two = replace(PLAN, speed=replace(PLAN.speed, concurrency=2))
    queued = rung([answer(0.0, 2.4, 11, 0.02)], per_s=2.0)
    queued = replace(queued, summary=replace(queued.summary, keeps_up=False))
    fast = Speed(1, 1, Interval(1, 1, 1), Interval(1, 1, 1))
    assert against_plan(report(queued), for_two, lambda _: fast) == []


def test_a_load_whose_cached_tokens_are_unknown_is_not_compared() -> None:
    one = replace(answer(0.0, 2.4, 11, 0.02, prompt=200), cached_tokens=None)
    unknown = rung([one], cached=True)
    fast = Speed(1, 1, Interval(1, 1, 1), Interval(1, 1, 1))
    assert against_plan(report(unknown), PLAN, lambda _: fast) == []


def test_a_plan_without_speed_predicts_nothing() -> None:
    adopted = replace(PLAN, decode_tokens_per_s=None, prefill_tokens_per_s=None, speed=None)
    assert against_plan(report(rung([answer(0.0, 2.4, 11, 0.02)])), adopted) == []


def test_two_endpoints_are_compared_rung_by_rung() -> None:
    quick = [answer(float(at), 0.5, 11, 0.01) for at in range(6)]
    slow = [answer(float(at), 1.0, 11, 0.03) for at in range(6)]
    found = side_by_side(report(rung(quick), rung(slow, endpoint=1), rung(quick, cached=True)))
    assert [(side.what, side.cached) for side in found] == [
        ("first token", False),
        ("time per token", False),
    ]
    assert [side.ratio.expected for side in found] == pytest.approx([2.0, 3.0])
    assert all(side.ratio.certain for side in found)


def test_answers_that_failed_are_in_no_ratio() -> None:
    good = [answer(0.0, 0.5, 11, 0.01)] * 3
    bad = [Timing(0.0, 0.0, (9.0, 99.0), failure="connection error")]
    [first, _] = side_by_side(report(rung(good), rung(good + bad, endpoint=1)))
    assert first.ratio.expected == pytest.approx(1.0)
