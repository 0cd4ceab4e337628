"""Percentiles, throughput and ratios have known answers."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.checks.bench import Distribution, Timing
from stoker.checks.bench.arrival_schedule import Arrivals, schedule
from stoker.checks.bench.request_timing import CUT_OFF, NOT_SENT
from stoker.checks.bench.statistics import median_ratio, percentile, summarise

TIMES = st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=80)


def answer(
    arrival_s: float, first_s: float, tokens: int, token_s: float, prompt: int = 100
) -> Timing:
    chunks = tuple(arrival_s + first_s + token_s * number for number in range(tokens))
    return Timing(arrival_s, arrival_s, chunks, chunks[-1], prompt, 0, tokens)


@given(TIMES, st.integers(1, 99))
def test_percentiles_are_those_of_the_standard_library(times: list[float], percent: int) -> None:
    expected = statistics.quantiles(times, n=100, method="inclusive")[percent - 1]
    assert percentile(sorted(times), percent) == pytest.approx(expected)


@given(TIMES)
def test_percentiles_rise_and_stay_inside(times: list[float]) -> None:
    found = Distribution.of(times)
    assert found is not None
    rising = [found.least, found.p50, found.p90, found.p95, found.p99, found.most]
    assert all(low <= high * (1 + 1e-9) for low, high in itertools.pairwise(rising))
    assert (found.count, found.least, found.most) == (len(times), min(times), max(times))


def test_percentiles_of_known_values() -> None:
    found = Distribution.of(range(1, 102))
    assert found == Distribution(101, 51, 91, 96, 100, 1, 101)
    assert Distribution.of([]) is None
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="empty sequence"):
        percentile([], 50)


def test_throughput_counts_from_the_first_arrival_to_the_last_piece() -> None:
    timings = [answer(0.0, 1.0, 11, 0.1), answer(1.0, 1.0, 11, 0.1)]
    found = summarise([timings], offered_per_s=None, alone_s=None)
    assert found.output_tokens_per_s == pytest.approx(22 / 3.0)
    assert found.answered_per_s == pytest.approx(2 / 3.0)
    assert found.in_flight == pytest.approx(4 / 3.0)
    assert found.keeps_up is None
    assert found.prompt_tokens == 100


def test_rounds_that_ran_one_after_the_other_count_their_own_time_only() -> None:
    rounds = [[answer(0.0, 1.0, 11, 0.1)], [answer(0.0, 1.0, 11, 0.1)]]
    found = summarise(rounds, offered_per_s=None, alone_s=None)
    assert found.output_tokens_per_s == pytest.approx(22 / 4.0)
    assert found.in_flight == pytest.approx(1.0)


def test_an_answer_of_one_piece_has_a_first_token_and_no_pace() -> None:
    found = summarise([[answer(0.0, 0.5, 1, 0.0)]], offered_per_s=None, alone_s=None)
    assert found.token_s is None
    assert found.first_token_s is not None
    assert found.first_token_s.p50 == 0.5


def test_several_tokens_in_one_piece_are_counted_as_the_server_counts_them() -> None:
    timing = Timing(0.0, 0.0, (1.0, 2.0, 3.0), 3.0, answer_tokens=9)
    assert timing.token_s == pytest.approx(2.0 / 8)
    uncounted = Timing(0.0, 0.0, (1.0, 2.0, 3.0), 3.0)
    assert uncounted.token_s == pytest.approx(1.0)


@given(st.lists(st.sampled_from([None, CUT_OFF, NOT_SENT, "status 500: no", "connection error"])))
def test_every_request_is_answered_or_counted_as_failed(failures: list[str | None]) -> None:
    timings = [
        answer(float(at), 0.5, 5, 0.1) if why is None else Timing(float(at), failure=why)
        for at, why in enumerate(failures)
    ]
    found = summarise([timings], offered_per_s=1.0, alone_s=1.0)
    assert found.answered + sum(found.failures.values()) == found.requests == len(failures)
    assert sum(found.broken.values()) == sum(
        why in ("status 500: no", "connection error") for why in failures
    )


@given(
    st.integers(1, 200),
    st.floats(0.01, 1000),
    st.sampled_from(["poisson", "fixed"]),
    st.integers(),
)
def test_a_schedule_has_its_rate_and_can_be_repeated(
    count: int, per_s: float, arrivals: Arrivals, seed: int
) -> None:
    due = schedule(count, per_s, arrivals, seed)
    assert len(due) == count
    assert due == sorted(due)
    assert due[0] >= 0
    assert due[-1] <= count / per_s
    assert due == schedule(count, per_s, arrivals, seed)


def test_fixed_arrivals_are_even() -> None:
    assert schedule(4, 2.0, "fixed", 0) == [0.0, 0.5, 1.0, 1.5]
    with pytest.raises(ValueError, match="rate"):
        schedule(4, 0.0, "fixed", 0)


def test_random_arrivals_have_the_gaps_of_a_poisson_process() -> None:
    """Exponential gaps have a standard deviation like their mean, and a median of ln 2 of it."""
    due = schedule(20_000, 5.0, "poisson", 3)
    gaps = [late - early for early, late in itertools.pairwise(due)]
    assert statistics.mean(gaps) == pytest.approx(0.2, rel=0.01)
    assert statistics.stdev(gaps) == pytest.approx(0.2, rel=0.05)
    assert statistics.median(gaps) == pytest.approx(0.2 * 0.693, rel=0.05)


@given(TIMES, st.floats(0.1, 10))
def test_a_side_that_takes_some_times_as_long_has_that_ratio(
    times: list[float], factor: float
) -> None:
    found = median_ratio(times[:12], [factor * time for time in times[:12]], resamples=100)
    assert found is not None
    assert found.expected == pytest.approx(factor)
    assert found.low <= factor * (1 + 1e-9)
    assert found.high >= factor * (1 - 1e-9)


def test_a_ratio_of_nothing_is_none() -> None:
    assert median_ratio([], [1.0]) is None
    assert median_ratio([1.0], []) is None
    assert median_ratio([0.0, 0.0], [1.0]) is None


def test_an_interval_holds_the_true_ratio_about_as_often_as_promised() -> None:
    """It promises 95 %; with 15 values a side, a bootstrap reaches 90 % or more."""
    rng = random.Random(7)
    held = 0
    for seed in range(100):
        base = [rng.lognormvariate(0.0, 0.3) for _ in range(15)]
        other = [1.2 * rng.lognormvariate(0.0, 0.3) for _ in range(15)]
        found = median_ratio(base, other, seed=seed, resamples=400)
        assert found is not None
        held += found.low <= 1.2 <= found.high
    assert 90 <= held <= 100


def test_a_difference_as_large_as_the_noise_is_not_called_certain() -> None:
    same, slower = [1.0, 1.1, 0.9, 1.2, 0.8], [2.0, 2.1, 1.9, 2.2, 1.8]
    close, apart = median_ratio(same, list(reversed(same))), median_ratio(same, slower)
    assert close is not None
    assert apart is not None
    assert not close.certain
    assert apart.certain
