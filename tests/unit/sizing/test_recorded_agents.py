"""The simulation beside agents on an H200 (``benchmarks/data/agents_h200*.csv``)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.sizing_recorded import (
    FIRST,
    FULL_CACHE,
    GOAL,
    LARGER,
    RECORDINGS,
    Recording,
    Rounds,
    compare,
    recorded,
    replicas,
)

from stoker.sizing import VllmReplica

FACTORS = "factors of --calibrate"
STEP_TIMES = "step times of --calibrate"


@pytest.mark.parametrize(
    ("recording", "way", "missed"),
    [
        (FIRST, FACTORS, set()),
        (LARGER, FACTORS, set()),
        # The cache overflows: what 8 % longer steps change there is more than the goal allows.
        (FULL_CACHE, FACTORS, {"time to first token, P95", "time per token, P95"}),
        *((recording, STEP_TIMES, set()) for recording in (FIRST, LARGER, FULL_CACHE)),
    ],
    ids=lambda one: getattr(one, "title", ""),
)
def test_calibrated_it_is_near_what_was_measured_at_three_loads(
    recording: Recording, way: str, missed: set[str]
) -> None:
    rounds = recorded(recording)
    figures = compare(rounds, replicas(recording, rounds)[way])
    assert len(figures) == 12
    far = {(f.load, f.what) for f in figures if abs(f.error) > GOAL}
    assert far <= {("24 agents", what) for what in missed}


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda one: one.title)
def test_without_asynchronous_scheduling_first_tokens_would_come_too_early(
    recording: Recording,
) -> None:
    rounds = recorded(recording)
    replica = replicas(recording, rounds)[FACTORS]
    busiest = median_errors(rounds, replace(replica, async_scheduling=False))[-1]
    assert busiest < -GOAL


@pytest.mark.parametrize("recording", RECORDINGS[1:], ids=lambda one: one.title)
def test_if_a_cached_token_cost_nothing_first_tokens_would_come_too_early(
    recording: Recording,
) -> None:
    rounds = recorded(recording)
    replica = replicas(recording, rounds)[FACTORS]
    free = replace(replica.step_times, arrival_token_s=0.0)
    assert max(median_errors(rounds, replace(replica, step_times=free))) < -0.1


def median_errors(rounds: Rounds, replica: VllmReplica) -> list[float]:
    figures = compare(rounds, replica)
    return [f.error for f in figures if f.what == "time to first token, P50"]
