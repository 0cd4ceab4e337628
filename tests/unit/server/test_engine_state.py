"""One state machine for every kind of engine."""

from __future__ import annotations

from typing import get_args

import pytest

from stoker.server.deployment_state import LiveState
from stoker.server.engine_state import NEXT, EngineState, check_move


def test_every_state_has_its_moves() -> None:
    assert set(NEXT) == set(get_args(EngineState))
    assert {state for moves in NEXT.values() for state in moves} <= set(NEXT)


@pytest.mark.parametrize("final", ["failed", "stopped"])
def test_nothing_follows_a_final_state(final: EngineState) -> None:
    for state in NEXT:
        with pytest.raises(ValueError, match="can't become"):
            check_move(final, state)


@pytest.mark.parametrize(
    ("before", "after"),
    [("starting", "silent"), ("starting", "restarting"), ("restarting", "silent")],
)
def test_an_engine_that_was_never_ready_is_neither_silent_nor_restarted(
    before: EngineState, after: EngineState
) -> None:
    with pytest.raises(ValueError, match=f"{before} can't become {after}"):
        LiveState(status=before).moved(after)


@pytest.mark.parametrize(
    ("status", "answering"),
    [("ready", True), ("silent", True), ("starting", False), ("restarting", False)],
)
def test_a_silent_engine_counts_as_started(status: EngineState, answering: bool) -> None:
    assert LiveState(status=status).answering is answering
