"""Steps that are skipped change nothing, and the scheduler's rules hold."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.sizing import ArrivingRequest, StepTimes, VllmReplica
from stoker.sizing.in_flight import InFlight
from stoker.sizing.vllm_engine import VllmEngine

TIMES = StepTimes(
    step_s=1e-3, read_s=4e-3, token_s=1e-4, sequence_s=2e-5, cache_token_s=1e-7, attention_s=1e-8
)
REPLICA = VllmReplica(
    TIMES, kv_cache_tokens=1100, max_model_len=700, max_num_seqs=6, max_num_batched_tokens=64
)
#: When, where in a conversation, how much is appended, how long the answer is.
ARRIVALS = st.lists(
    st.tuples(st.floats(0, 2), st.integers(0, 4), st.integers(1, 200), st.integers(1, 150)),
    min_size=1,
    max_size=14,
)
Ended = list[tuple[float, float, int, int]]


def conversations(drawn: list[tuple[float, int, int, int]]) -> list[ArrivingRequest]:
    """One request of a conversation at a time: later ones start conversations of their own."""
    used: dict[int, int] = {}
    requests = []
    for number, (at_s, talk, append, output) in enumerate(sorted(drawn)):
        head = 100 if talk % 2 else 0
        tokens = min(head + append, 500)
        used[talk] = tokens
        requests.append(ArrivingRequest(at_s, 100 + number, tokens, output, "chat", "h", head))
    return requests


def run(requests: list[ArrivingRequest], replica: VllmReplica, longest_span: int) -> Ended:
    engine = VllmEngine(replica, longest_span)
    arrivals = [InFlight(request) for request in requests]
    ended: dict[InFlight, float] = {}
    due_s: float | None = None
    for one in arrivals:
        at_s = one.request.at_s
        while due_s is not None and due_s <= at_s:
            ended |= dict.fromkeys(engine.finish(due_s), due_s)
            due_s = engine.start(due_s)
        engine.add(one)
        due_s = engine.start(at_s) if due_s is None else engine.interrupt(at_s) or due_s
    while due_s is not None:
        ended |= dict.fromkeys(engine.finish(due_s), due_s)
        due_s = engine.start(due_s)
    assert len(ended) == len(arrivals)
    assert engine.cache.free == engine.cache.blocks
    return [(one.first_s or -1, ended[one], one.cached_tokens, one.preemptions) for one in arrivals]


@settings(max_examples=80, deadline=None)
@given(ARRIVALS)
def test_skipping_steps_gives_what_each_step_gives(
    drawn: list[tuple[float, int, int, int]],
) -> None:
    requests = conversations(drawn)
    skipped, each = run(requests, REPLICA, 1 << 60), run(requests, REPLICA, 1)
    for (first_a, end_a, *counts_a), (first_b, end_b, *counts_b) in zip(skipped, each, strict=True):
        assert counts_a == counts_b
        assert abs(first_a - first_b) < 1e-9
        assert abs(end_a - end_b) < 1e-9


def test_those_examples_preempt_and_find_heads() -> None:
    rng = random.Random(1)
    drawn = [
        (rng.uniform(0, 0.5), rng.randrange(5), rng.randint(1, 200), rng.randint(90, 150))
        for _ in range(14)
    ]
    ended = run(conversations(drawn), REPLICA, 1 << 60)
    assert any(preemptions for *_, preemptions in ended)
    assert any(cached == 96 for _, _, cached, _ in ended)


@settings(max_examples=40, deadline=None)
@given(ARRIVALS)
def test_a_faster_gpu_answers_no_request_later(drawn: list[tuple[float, int, int, int]]) -> None:
    # All at once, so that both decide the same and only the times differ.
    requests = [request._replace(at_s=0.0) for request in conversations(drawn)]
    faster = replace(REPLICA, step_times=replace(TIMES, read_s=2e-3, token_s=5e-5))
    slow, fast = run(requests, REPLICA, 1 << 60), run(requests, faster, 1 << 60)
    assert all(b[1] <= a[1] for a, b in zip(slow, fast, strict=True))


def test_the_last_admitted_loses_its_blocks_and_is_admitted_first() -> None:
    replica = VllmReplica(
        TIMES, kv_cache_tokens=16 * 12, max_model_len=160, max_num_seqs=2, block_size=16
    )
    requests = [ArrivingRequest(0.0, n, 64, 90) for n in (1, 2, 3)]
    (_, end_1, _, lost_1), (_, end_2, _, lost_2), (first_3, *_) = run(requests, replica, 1 << 60)
    assert (lost_1, lost_2) == (0, 1)
    assert end_1 < end_2
    assert first_3 > end_1


@pytest.mark.parametrize(("ahead", "first_s"), [(False, 4.0), (True, 5.0)])
def test_a_request_joins_the_first_step_that_is_scheduled_after_it_came(
    ahead: bool, first_s: float
) -> None:
    steps_of_a_second = StepTimes(step_s=1.0, read_s=0.0, token_s=0.0)
    replica = VllmReplica(
        steps_of_a_second, 1100, max_model_len=700, max_num_seqs=6, async_scheduling=ahead
    )
    requests = [ArrivingRequest(0.0, 1, 20, 10), ArrivingRequest(2.5, 2, 20, 1)]
    assert run(requests, replica, 1 << 60)[1][0] == first_s
    # On a server with nothing to do it joins at once.
    assert run(requests[1:], replica, 1 << 60)[0][0] == 3.5
