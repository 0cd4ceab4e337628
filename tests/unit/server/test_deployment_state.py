"""What is kept of a deployment, for the commands that come after `stoker up`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from stoker import paths
from stoker.engines import Options
from stoker.errors import Problem
from stoker.models import find_known_model
from stoker.planning import Argument, MemoryPrediction, Plan
from stoker.server import deployment_state
from stoker.server.deployment_state import Deployment, LaunchSpec, LiveState, PhaseRecord
from stoker.server.processes import ProcessId

MODEL = find_known_model("Qwen3-30B-A3B")[0].model()
PLAN = Plan(MODEL, "vllm", 8192, 4, (Argument("x", 1, "so"),), MemoryPrediction(1, 2, 3, 6), gpus=1)

ADOPTED = Options(adopted="http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def _state_folder(home: Path) -> None:
    deployment_state.state_folder()


def test_the_shape_of_a_model_is_kept_so_that_its_speed_can_be_predicted_again() -> None:
    assert MODEL.architecture is not None
    deployment_state.write(Deployment(LaunchSpec(PLAN, "127.0.0.1", 8000)))
    kept = deployment_state.read()
    assert kept is not None
    assert kept.spec.plan == PLAN
    assert kept.spec.plan.model.architecture is not None
    assert kept.spec.plan.model.architecture.raw == MODEL.architecture.raw


@pytest.mark.parametrize(
    ("requirements", "name"),
    [(("my.gguf", "vllm"), "my.gguf"), (("", "vllm"), MODEL.id), ((), MODEL.id)],
)
def test_the_command_names_the_model_as_the_user_did_or_the_one_that_stoker_chose(
    requirements: tuple[str, ...], name: str
) -> None:
    spec = LaunchSpec(PLAN, "127.0.0.1", 8001, requirements, flags=("--port=8001",))
    assert spec.command == f"stoker up {name} --port=8001"


def test_an_adopted_server_has_the_model_that_it_has() -> None:
    adopted = LaunchSpec(PLAN, "127.0.0.1", 8000, ("adopted", "http://x"), options=ADOPTED)
    assert adopted.command == f"stoker up {MODEL.id}"


def test_the_header_of_a_gguf_file_is_not_kept() -> None:
    gguf = replace(MODEL, format="gguf", chat_template="{{ messages }}")
    deployment_state.write(Deployment(LaunchSpec(replace(PLAN, model=gguf), "127.0.0.1", 8000)))
    kept = deployment_state.read()
    assert kept is not None
    assert kept.spec.plan.model.architecture is None
    assert kept.spec.plan.model.chat_template is None


WHOLE = Deployment(
    LaunchSpec(
        PLAN, "::1", 8001, ("m", ""), Options(name="mine"), True, ("dtype",), ("--port=8001",), True
    ),
    LiveState(
        "silent",
        ProcessId(1, 2.5),
        ProcessId(3, 4.5),
        "mine",
        (PhaseRecord("start", 5.0, "1 of 2"),),
        6.0,
        7.0,
        2,
        Problem("It is frozen.", "SIGSTOP.", "Resume it."),
    ),
)


def test_every_field_of_spec_and_state_is_kept() -> None:
    deployment_state.write(WHOLE)
    assert deployment_state.read() == WHOLE


def test_a_file_without_a_schema_version_has_spec_and_state_side_by_side() -> None:
    deployment_state.write(WHOLE)
    content = msgspec.json.decode(paths.deployment_file().read_bytes())
    assert content["schema_version"] == deployment_state.SCHEMA_VERSION
    flat = {**content["spec"], **content["state"]}
    paths.deployment_file().write_bytes(msgspec.json.encode(flat))
    assert deployment_state.read() == WHOLE


@pytest.mark.parametrize("content", [b"", b'{"\xff": 1}', b"[" * 100_000])
def test_a_damaged_file_is_not_read(content: bytes) -> None:
    paths.deployment_file().write_bytes(content)
    assert deployment_state.read() is None


def test_a_file_of_a_later_schema_is_not_read() -> None:
    deployment_state.write(WHOLE)
    content = msgspec.json.decode(paths.deployment_file().read_bytes())
    content["schema_version"] += 1
    paths.deployment_file().write_bytes(msgspec.json.encode(content))
    assert deployment_state.read() is None


def test_the_key_of_an_adopted_server_is_in_no_file() -> None:
    secret = LaunchSpec(PLAN, "127.0.0.1", 8000, options=replace(ADOPTED, key="sk-canary"))
    deployment_state.write(Deployment(secret))
    files = [file for file in paths.state_dir().rglob("*") if file.is_file()]
    assert paths.deployment_file() in files
    assert not [file for file in files if b"sk-canary" in file.read_bytes()]
    kept = deployment_state.read()
    assert kept is not None
    assert kept.spec.options == ADOPTED
    assert "sk-canary" not in repr(secret)
