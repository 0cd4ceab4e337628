"""The simulation beside agents on an H200 (``benchmarks/data/agents_h200*.csv``)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.sizing_recorded import (
    FIRST,
    GOAL,
    LARGER,
    Recording,
    compare,
    recorded,
    replicas,
)

CALIBRATED = "factors of --calibrate"


@pytest.mark.parametrize("recording", [FIRST, LARGER], ids=lambda one: one.model)
def test_calibrated_it_is_near_what_was_measured_at_three_loads(recording: Recording) -> None:
    rounds = recorded(recording)
    figures = compare(rounds, replicas(recording, rounds)[CALIBRATED])
    assert len(figures) == 12
    assert [figure for figure in figures if abs(figure.error) > GOAL] == []


def test_without_asynchronous_scheduling_first_tokens_would_come_too_early() -> None:
    rounds = recorded(FIRST)
    replica = replicas(FIRST, rounds)[CALIBRATED]
    figures = compare(rounds, replace(replica, async_scheduling=False))
    first = [f.error for f in figures if f.what == "time to first token, P50"]
    assert all(error < -0.12 for error in first)
