"""What is kept of a deployment, for the commands that come after `stoker up`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stoker.engines import Options
from stoker.models import find_known_model
from stoker.planning import Argument, MemoryPrediction, Plan
from stoker.server import deployment_state
from stoker.server.deployment_state import Deployment

MODEL = find_known_model("Qwen3-30B-A3B")[0].model()
PLAN = Plan(MODEL, "vllm", 8192, 4, (Argument("x", 1, "so"),), MemoryPrediction(1, 2, 3, 6), gpus=1)

ADOPTED = Options(adopted="http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def _state_folder(home: Path) -> None:
    deployment_state.state_folder()


def test_the_shape_of_a_model_is_kept_so_that_its_speed_can_be_predicted_again() -> None:
    assert MODEL.architecture is not None
    deployment_state.write(Deployment(PLAN, "127.0.0.1", 8000))
    kept = deployment_state.read()
    assert kept is not None
    assert kept.plan == PLAN
    assert kept.plan.model.architecture is not None
    assert kept.plan.model.architecture.raw == MODEL.architecture.raw


@pytest.mark.parametrize(
    ("requirements", "name"),
    [(("my.gguf", "vllm"), "my.gguf"), (("", "vllm"), MODEL.id), ((), MODEL.id)],
)
def test_the_command_names_the_model_as_the_person_did_who_else_left_it_to_stoker(
    requirements: tuple[str, ...], name: str
) -> None:
    deployment = Deployment(PLAN, "127.0.0.1", 8001, requirements, flags=("--port=8001",))
    assert deployment.command == f"stoker up {name} --port=8001"


def test_an_adopted_server_has_the_model_that_it_has() -> None:
    adopted = Deployment(PLAN, "127.0.0.1", 8000, ("adopted", "http://x"), options=ADOPTED)
    assert adopted.command == f"stoker up {MODEL.id}"


def test_the_header_of_a_gguf_file_is_not_kept() -> None:
    gguf = replace(MODEL, format="gguf", chat_template="{{ messages }}")
    deployment_state.write(Deployment(replace(PLAN, model=gguf), "127.0.0.1", 8000))
    kept = deployment_state.read()
    assert kept is not None
    assert kept.plan.model.architecture is None
    assert kept.plan.model.chat_template is None
