"""The simulation agrees with what queueing theory proves, where theory has an answer."""

from __future__ import annotations

import math
import random

import pytest

from stoker.sizing import (
    ArrivingRequest,
    Fleet,
    SimulationResult,
    StepTimes,
    VllmReplica,
    Workload,
    simulate,
)

STEP_S = 1e-3
DURATION_S, WARM_UP_S = 8000.0, 300.0
MOST = 8000


def poisson(per_s: float, seed: int, prompt: float, output: int) -> list[ArrivingRequest]:
    """Independent requests; prompts are exponential with mean ``prompt``, or 1 for 0."""
    rng = random.Random(seed)
    at_s = 0.0
    requests: list[ArrivingRequest] = []
    while at_s < DURATION_S and len(requests) < MOST:
        at_s += rng.expovariate(per_s)
        tokens = 1 + round(rng.expovariate(1 / prompt)) if prompt else 1
        requests.append(ArrivingRequest(at_s, len(requests), tokens, output))
    return requests


def served(requests: list[ArrivingRequest], times: StepTimes, servers: int) -> SimulationResult:
    replica = VllmReplica(
        times,
        kv_cache_tokens=2_000_000,
        max_model_len=1_000_000,
        max_num_seqs=servers,
        max_num_batched_tokens=1_000_000,
        block_size=1000,
        prefix_caching=False,
    )
    # It ends with the last arrival, so that the rate is the same until then.
    return simulate(requests, Fleet([replica]), requests[-1].at_s, warm_up_s=WARM_UP_S)


def mean_total_s(result: SimulationResult) -> float:
    assert result.total_s is not None
    return result.total_s.mean.value


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_server_with_exponential_times_is_m_m_1(load: float) -> None:
    service_s = 1.0
    requests = poisson(load / service_s, seed=5, prompt=100_000, output=1)
    result = served(requests, StepTimes(step_s=0, read_s=0, token_s=service_s / 100_000), servers=1)
    assert mean_total_s(result) == pytest.approx(service_s / (1 - load), rel=0.1)
    assert result.utilisation[0] == pytest.approx(load, rel=0.05)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (4, 0.8), (8, 0.6)])
def test_answers_of_equal_length_are_m_d_c(servers: int, load: float) -> None:
    # Each of `servers` places takes 1,000 steps of equal length for a request.
    service_s = 1000 * STEP_S
    requests = poisson(load * servers / service_s, seed=3, prompt=0, output=1000)
    result = served(requests, StepTimes(step_s=STEP_S, read_s=0, token_s=0), servers)
    expected_s = m_d_c_wait_s(servers, load, service_s)
    # A request joins at the beginning of a step.
    assert result.mean_waiting / (load * servers) == pytest.approx(expected_s, rel=0.1, abs=STEP_S)


def m_d_c_wait_s(servers: int, load: float, service_s: float) -> float:
    """Cosmetatos's approximation (1975), within 1 % of exact values at such loads."""
    offered = servers * load
    terms = sum(offered**k / math.factorial(k) for k in range(servers))
    last = offered**servers / math.factorial(servers) / (1 - load)
    m_m_c_wait_s = last / (terms + last) * service_s / (servers * (1 - load))
    root = math.sqrt(4 + 5 * servers) - 2
    return m_m_c_wait_s / 2 * (1 + (1 - load) * (servers - 1) * root / (16 * load * servers))


def test_littles_law_holds_for_a_workload() -> None:
    times = StepTimes(step_s=2e-3, read_s=8e-3, token_s=2e-5, cache_token_s=2e-9)
    replica = VllmReplica(times, kv_cache_tokens=600_000)
    result = simulate(Workload(60), Fleet([replica] * 2), 4 * 3600, warm_up_s=1200)
    per_s = result.requests / (result.duration_s - result.warm_up_s)
    # Those under way at both ends are what it leaves out.
    assert result.mean_in_flight == pytest.approx(per_s * mean_total_s(result), rel=0.02)


def test_a_server_is_busy_exactly_while_there_is_work() -> None:
    requests = [ArrivingRequest(float(10 * i), i, 100, 50) for i in range(20)]
    times = StepTimes(step_s=0.0, read_s=0.0, token_s=0.01)
    replica = VllmReplica(times, 2_000_000, prefix_caching=False)
    result = simulate(requests, Fleet([replica]), 200, warm_up_s=0)
    # 100 tokens of the prompt, which give the first token, and 49 that are processed one by one.
    assert sum(result.utilisation) * 200 == pytest.approx(20 * 149 * 0.01)
    assert result.mean_waiting == 0
