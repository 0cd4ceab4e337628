"""A bound that no scheduling beats, and the busiest part of a trace."""

from __future__ import annotations

import pytest

from stoker.sizing import ArrivingRequest, StepTimes
from stoker.sizing.demand import Demand, busiest, least_replicas

TIMES = StepTimes(step_s=0.002, read_s=0.008, token_s=1e-4, cache_token_s=1e-8)


def test_only_what_no_request_before_had_counts_as_new() -> None:
    first = ArrivingRequest(0.0, 1, 1000, 100, head_tokens=400)
    second = ArrivingRequest(5.0, 1, 1300, 50, head_tokens=400)
    demand = Demand.of([first, second], 10.0)
    assert demand.new_tokens_per_s == pytest.approx((600 + 200) / 10)
    assert demand.output_tokens_per_s == pytest.approx(150 / 10)
    assert demand.read_tokens_per_s == pytest.approx((100 * 1000 + 50 * 1300) / 10)


@pytest.mark.parametrize(("new_per_s", "replicas"), [(1, 1), (9_000, 1), (11_000, 2), (95_000, 10)])
def test_reading_prompts_alone_takes_so_many_replicas(new_per_s: float, replicas: int) -> None:
    assert least_replicas(Demand(new_per_s, 0, 0), TIMES, 0.05) == replicas


def test_a_stricter_time_per_token_never_needs_fewer_replicas() -> None:
    demand = Demand(0, 20_000, 20_000 * 5_000)
    counts = [least_replicas(demand, TIMES, limit_s) for limit_s in (0.1, 0.05, 0.02, 0.011)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_the_busiest_part_of_a_trace_begins_with_what_came_before_it() -> None:
    quiet = [ArrivingRequest(float(at), at, 10, 1) for at in range(0, 1000, 100)]
    busy = [ArrivingRequest(500.0 + at, 100 + at, 1000, 1) for at in range(20)]
    found = busiest(sorted([*quiet, *busy]), window_s=50, before_s=150)
    assert found[0].at_s == pytest.approx(50)
    assert [one.prompt_tokens for one in found].count(1000) == 20
    assert found[-1].at_s <= 200
