"""What a fleet makes of a workload."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.sizing import (
    AGENT,
    ArrivingRequest,
    Fleet,
    LlamaCppReplica,
    Routing,
    SimulationResult,
    StepTimes,
    VllmReplica,
    Workload,
    simulate,
)

TIMES = StepTimes(step_s=2e-3, read_s=9e-3, token_s=6e-5, sequence_s=3e-5, cache_token_s=4e-9)
VLLM = VllmReplica(TIMES, kv_cache_tokens=400_000)
LLAMA = LlamaCppReplica(TIMES, n_slots=4, n_ctx=131_072)
AGENTS = Workload(60, active_share=0.5, mix={AGENT: 1.0})


def agents_on(count: int, routing: Routing = "prefix_aware") -> SimulationResult:
    return simulate(AGENTS, Fleet([VLLM] * count, routing), 1500, warm_up_s=300)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1 << 40), replica=st.sampled_from([VLLM, LLAMA]))
def test_one_seed_gives_one_result(seed: int, replica: VllmReplica | LlamaCppReplica) -> None:
    fleet = Fleet([replica] * 2)
    once, again = (
        simulate(Workload(20), fleet, 600, seed=seed, warm_up_s=60, slices=3) for _ in range(2)
    )
    assert once == again


def test_another_seed_gives_another_day() -> None:
    a, b = (simulate(Workload(20), Fleet([VLLM]), 600, seed=n, warm_up_s=60) for n in (1, 2))
    assert a.first_token_s != b.first_token_s


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1 << 40))
def test_more_gpus_are_never_worse(seed: int) -> None:
    results = [
        simulate(AGENTS, Fleet([VLLM] * count), 900, seed=seed, warm_up_s=300)
        for count in (1, 2, 4)
    ]
    for fewer, more in pairwise(results):
        assert fewer.first_token_s and more.first_token_s and fewer.token_s and more.token_s
        assert more.first_token_s.p95.value < fewer.first_token_s.p95.value
        assert more.token_s.p95.value < fewer.token_s.p95.value
        assert fmean(more.utilisation) <= fmean(fewer.utilisation)


def test_routing_by_prefix_finds_more_in_the_caches() -> None:
    shares = {r: agents_on(4, r).cached_share.value for r in ("random", "prefix_aware")}
    assert shares["prefix_aware"] > shares["random"] + 0.03


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(1, 30_000), st.integers(1, 400)), max_size=25),
    st.sampled_from([VLLM, LLAMA]),
)
def test_every_request_is_answered_once(
    drawn: list[tuple[float, int, int]], replica: VllmReplica | LlamaCppReplica
) -> None:
    requests = [
        ArrivingRequest(at_s, n, prompt, output)
        for n, (at_s, prompt, output) in enumerate(sorted(drawn))
    ]
    result = simulate(requests, Fleet([replica] * 2), 60, warm_up_s=0)
    assert (result.completed, result.refused) == (len(requests), 0)
    assert result.output_tokens == sum(r.output_tokens for r in requests)
    assert sum(part.requests for part in result.slices) == len(requests)


def test_the_warm_up_is_left_out() -> None:
    requests = [ArrivingRequest(float(n), n, 100, 2) for n in range(100)]
    result = simulate(requests, Fleet([VLLM]), 100, warm_up_s=50)
    assert result.requests == result.completed == 50


def test_a_cache_that_is_too_small_evicts_what_agents_come_back_for() -> None:
    small = VllmReplica(TIMES, kv_cache_tokens=140_000)
    results = [simulate(AGENTS, Fleet([r] * 2), 1800, warm_up_s=300) for r in (small, VLLM)]
    assert results[0].cached_share.high < results[1].cached_share.low


def test_intervals_hold_what_longer_runs_find() -> None:
    load = Workload(40)
    short = simulate(load, Fleet([VLLM]), 2400, seed=1, warm_up_s=600)
    long = simulate(load, Fleet([VLLM]), 4 * 3600, seed=2, warm_up_s=600)
    assert short.first_token_s is not None and long.first_token_s is not None
    p50 = short.first_token_s.p50
    assert p50.low <= long.first_token_s.p50.value <= p50.high


def test_a_prompt_is_delayed_by_its_length_although_it_is_cached() -> None:
    requests = [ArrivingRequest(1.0 + 9 * n, 7, 20_000 + 100 * n, 10) for n in range(3)]

    def first_s(times: StepTimes) -> float:
        fleet = Fleet([replace(VLLM, step_times=times)])
        result = simulate(requests, fleet, 60, warm_up_s=0.0, slices=1)
        assert result.first_token_s is not None
        return result.first_token_s.mean.value

    later_s = first_s(replace(TIMES, arrival_token_s=2e-6)) - first_s(TIMES)
    assert later_s == pytest.approx(2e-6 * 20_100)


def test_a_warm_up_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="warm-up of 600 s in a simulation of 600 s"):
        simulate(AGENTS, Fleet([VLLM]), 600, warm_up_s=600)


def test_settings_that_the_engine_refuses_are_refused() -> None:
    with pytest.raises(ValueError, match="does not hold one request of 131072"):
        VllmReplica(TIMES, kv_cache_tokens=100_000)
    with pytest.raises(ValueError, match="below max_num_seqs"):
        VllmReplica(TIMES, 400_000, max_num_batched_tokens=100)
