"""The simulation beside agents on an H200 (``benchmarks/data/agents_h200.csv``)."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.sizing_recorded import GOAL, compare, recorded, replicas


def test_calibrated_it_is_near_what_was_measured_at_three_loads() -> None:
    rounds = recorded()
    figures = compare(rounds, replicas(rounds)["step times of --calibrate"])
    assert len(figures) == 12
    assert sum(abs(figure.error) <= GOAL for figure in figures) >= 11
    assert [figure for figure in figures if abs(figure.error) > 0.2] == []


def test_without_asynchronous_scheduling_first_tokens_would_come_too_early() -> None:
    rounds = recorded()
    replica = replicas(rounds)["step times of --calibrate"]
    figures = compare(rounds, replace(replica, async_scheduling=False))
    first = [f.error for f in figures if f.what == "time to first token, P50"]
    assert all(error < -0.15 for error in first)
