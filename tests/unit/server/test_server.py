"""What the supervisor writes down of a start that failed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from stoker.engines import Backend, ProcessLaunch, Recognised, ServedModel
from stoker.models import find_known_model
from stoker.planning import Argument, MemoryPrediction, Plan
from stoker.server import adopted_plan, deployment_state, ports
from stoker.server.deployment_state import Deployment, Problem
from stoker.server.docker_client import explained
from stoker.server.engine_process import ProcessRun
from stoker.server.server import Supervisor, _fit_settings

pytestmark = pytest.mark.usefixtures("home")

MODEL = find_known_model("Qwen3-30B-A3B")[0].model()
PLAN = Plan(MODEL, "vllm", 8192, 4, (), MemoryPrediction(1, 2, 3, 6), gpus=1)


def problem_of(begun: Callable[..., Awaitable[object]], monkeypatch: pytest.MonkeyPatch) -> Problem:
    """What the supervisor writes down of a start that ``begun`` makes fail."""
    monkeypatch.setattr(Supervisor, "_begun", begun)
    deployment_state.state_folder()
    wanted = Deployment(PLAN, "127.0.0.1", ports.any_free(), ("qwen3-30b", ""))
    assert asyncio.run(Supervisor(wanted).run()) == 1
    failed = deployment_state.read()
    assert failed is not None
    assert failed.problem is not None
    return failed.problem


def test_fix_of_what_docker_refused_names_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object) -> None:
        raise explained(RuntimeError("driver failed: port is already allocated"))

    problem = problem_of(refused, monkeypatch)
    assert "`stoker up qwen3-30b --port PORT --replace`" in problem.fix


def test_engine_that_a_bus_error_ends_lacked_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    suicide = "import os, signal; os.kill(os.getpid(), signal.SIGBUS)"
    launch = ProcessLaunch((sys.executable, "-c", suicide))

    async def begun(*_: object) -> ProcessRun:
        return await ProcessRun.start(launch, Backend("http://127.0.0.1:9", "vllm"))

    problem = problem_of(begun, monkeypatch)
    assert problem.why.startswith("Shared memory (/dev/shm) is too small")
    assert "--ipc=host" in problem.fix


def on_layers(number: int, gpus: int) -> Plan:
    return replace(
        PLAN, engine="llama.cpp", gpus=gpus, arguments=(Argument("n_gpu_layers", number, ""),)
    )


@pytest.mark.parametrize(
    ("plan", "limit"),
    [
        (PLAN, None),
        (replace(PLAN, gpus=0), "auto"),
        (on_layers(0, 0), "auto"),
        (on_layers(0, 1), "auto"),  # the user set it
        (on_layers(-1, 1), None),
    ],
    ids=["vllm-gpu", "vllm-cpu", "llama-cpu", "llama-cpu-by-user", "llama-gpu"],
)
def test_prompts_are_fitted_for_time_where_the_engine_runs_on_a_cpu(
    plan: Plan, limit: str | None
) -> None:
    assert _fit_settings(plan).max_prompt_tokens == limit


def test_prompts_of_an_adopted_server_are_not_fitted_for_time() -> None:
    found = Recognised(Backend("http://127.0.0.1:9", "vllm"), None, (ServedModel("m"),), ())
    assert _fit_settings(adopted_plan.plan_for(found)[0]).max_prompt_tokens is None


@pytest.mark.parametrize(
    ("served", "listed"),
    [
        (ServedModel(MODEL.served_name), "Q4_1"),
        (ServedModel(MODEL.served_name, quantization="Q8_0"), "Q8_0"),
        (ServedModel("another"), None),
    ],
)
def test_quantization_that_the_engine_does_not_tell_is_the_plans(
    served: ServedModel, listed: str | None
) -> None:
    plan = replace(PLAN, model=replace(MODEL, quantization="Q4_1"))
    shown = Supervisor(Deployment(plan, "127.0.0.1", 8000))._with_plan(served)
    assert shown.quantization == listed
