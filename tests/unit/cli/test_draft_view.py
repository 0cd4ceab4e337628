"""What ``stoker status`` shows of drafts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from stoker.cli import app
from stoker.cli.render.draft_view import as_dict, words
from stoker.models import Model
from stoker.planning import MemoryPrediction, Plan
from stoker.planning.draft_use import DraftCost, DraftCounts, DraftUse
from stoker.server import Deployment, LaunchSpec, LiveState, deployment_state

COST = DraftCost(draft_steps=0.25, tokens_per_step=2.5)
PAYS = DraftUse(DraftCounts(4000, 8000, 5600), COST)
SLOW = DraftCounts(4000, 8000, 800)
#: They paid before.
COSTS = DraftUse(DraftCounts(12_000, 24_000, 12_000), COST, slow=SLOW)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (
            PAYS,
            "1.4 of 2.0 accepted, 2.4 tokens a step where 2.5 were planned: about 1.6 x the speed "
            "without",
        ),
        (replace(PAYS, cost=None), "1.4 of 2.0 accepted, 2.4 tokens a step"),
        (
            DraftUse(SLOW, COST),
            "0.2 of 2.0 accepted, 1.2 tokens a step where 2.5 were planned: about 0.8 x the speed "
            "without. They cost: if that goes on, they are switched off",
        ),
    ],
)
def test_words_name_what_drafts_bring(use: DraftUse, expected: str) -> None:
    assert words(use) == expected


@pytest.mark.parametrize(
    ("use", "end"),
    [
        (COSTS, "They cost: the engine is started again without them in the next pause"),
        (replace(COSTS, wanted=True), "or stoker tune measured that they are faster"),
        (replace(COSTS, switched_off=True), "To plan them again: stoker tune --forget"),
    ],
)
def test_words_end_with_what_follows(use: DraftUse, end: str) -> None:
    assert words(use).endswith(end)


def shown(use: DraftUse | None, *options: str) -> str:
    plan = Plan(
        Model("coder", "gguf", "disk", "coder"),
        "llama.cpp",
        8192,
        1,
        (),
        MemoryPrediction(0, 0, 0, 0),
    )
    deployment_state.state_folder()
    state = LiveState("ready", drafts=use, ready_at=1.0)
    deployment_state.write(Deployment(LaunchSpec(plan, "127.0.0.1", 8000), state))
    return CliRunner().invoke(app, ["status", *options]).stdout


def test_status_shows_what_the_server_has_noted_and_nothing_before(home: Path) -> None:
    assert "Drafts     1.4 of 2.0 accepted" in " ".join(shown(PAYS).split(" "))
    assert "Drafts" not in shown(None)
    assert orjson.loads(shown(None, "--json"))["drafts"] is None
    assert (
        orjson.loads(shown(COSTS, "--json"))["drafts"]
        == as_dict(COSTS)
        == {
            "steps": 4000,
            "drafted": 8000,
            "accepted": 800,
            "tokens_per_step": 1.2,
            "planned_tokens_per_step": 2.5,
            "gain": 0.8,
            "wanted": False,
            "switched_off": False,
        }
    )
