"""The server: what it records of a start that failed, and how it sets the gateway up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from tests.unit.server.scripted_engine import SLEEPS, ScriptedEngine

from stoker.engines import Backend, Recognised, ServedModel
from stoker.errors import Problem
from stoker.gateway import GatewayTimings
from stoker.gateway.saved_heads import SavedHeads
from stoker.models import find_known_model
from stoker.planning import Argument, MemoryPrediction, Plan
from stoker.server import adopted_plan, deployment_state, ports
from stoker.server import server as server_module
from stoker.server.deployment_state import LaunchSpec
from stoker.server.docker_client import explained
from stoker.server.engine_process import ProcessRun
from stoker.server.engine_run import EngineFactory, StartProgress
from stoker.server.processes import ProcessId
from stoker.server.server import Server, fit_settings, planned
from stoker.server.timeouts import Timeouts


@pytest.fixture(autouse=True)
def _own_state(home: Path) -> None:
    deployment_state.state_folder()


MODEL = find_known_model("Qwen3-30B-A3B")[0].model()
PLAN = Plan(MODEL, "vllm", 8192, 4, (), MemoryPrediction(1, 2, 3, 6), gpus=1)
BUS_ERROR = "import os, signal; os.kill(os.getpid(), signal.SIGBUS)"


def new_server(factory: EngineFactory, plan: Plan = PLAN) -> Server:
    spec = LaunchSpec(plan, "127.0.0.1", ports.any_free(), ("qwen3-30b", ""))
    return Server(spec, factory, Timeouts(grace_s=0.5), GatewayTimings(drain_s=0.1))


def problem_of(factory: EngineFactory) -> Problem:
    """What the server records of a start that fails."""
    asyncio.run(new_server(factory).run())
    failed = deployment_state.read()
    assert failed is not None
    assert failed.state.status == "failed"
    assert failed.state.problem is not None
    return failed.state.problem


class Refused:
    """Docker refuses each start."""

    async def start(self, spec: LaunchSpec, progress: StartProgress) -> ProcessRun:
        progress.container("vllm-server")
        raise explained(RuntimeError("driver failed: port is already allocated"))


def test_fix_of_what_docker_refused_names_the_model() -> None:
    assert "`stoker up qwen3-30b --port PORT --replace`" in problem_of(Refused()).fix


def test_container_that_is_about_to_be_made_is_recorded_for_down() -> None:
    problem_of(Refused())
    failed = deployment_state.read()
    assert failed is not None and failed.state.container == "vllm-server"


def test_engine_that_a_bus_error_ends_lacked_shared_memory() -> None:
    problem = problem_of(ScriptedEngine((BUS_ERROR,)))
    assert problem.why.startswith("Shared memory (/dev/shm) is too small")
    assert "--ipc=host" in problem.fix


async def test_order_to_stop_leaves_no_engine_and_no_state() -> None:
    server = new_server(ScriptedEngine((SLEEPS,)))
    running = asyncio.create_task(server.run())
    engine: ProcessId | None = None
    while engine is None:
        engine = (await asyncio.wait_for(server.changes.get(), 10)).state.engine
    server.stop()
    await asyncio.wait_for(running, 10)
    assert engine.process() is None
    assert deployment_state.read() is None
    last = server.changes.get_nowait()
    while not server.changes.empty():
        last = server.changes.get_nowait()
    assert last.state.status == "stopped"


class FailingHeads(SavedHeads):
    """What saves prompts, with a fault."""

    async def keep(self) -> None:
        raise LookupError("a fault of what saves")


async def test_a_task_beside_the_engine_that_failed_does_not_keep_it_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    weights = tmp_path / "model.gguf"
    weights.write_bytes(b"weights")
    kept = replace(
        PLAN,
        model=replace(MODEL, path=weights),
        engine="llama.cpp",
        slot_bytes_per_token=1000,
    )
    monkeypatch.setattr(server_module, "SavedHeads", FailingHeads)
    server = new_server(ScriptedEngine((SLEEPS,)), kept)
    running = asyncio.create_task(server.run())
    engine: ProcessId | None = None
    while engine is None:
        engine = (await asyncio.wait_for(server.changes.get(), 10)).state.engine
    server.stop()
    await asyncio.wait_for(running, 10)
    assert "a task of the gateway failed: LookupError" in caplog.text
    assert engine.process() is None
    assert deployment_state.read() is None


async def test_the_dashboard_shows_the_deployment_while_it_starts() -> None:
    server = new_server(ScriptedEngine((SLEEPS,)))
    running = asyncio.create_task(server.run())
    spec = (await asyncio.wait_for(server.changes.get(), 10)).spec
    while (await asyncio.wait_for(server.changes.get(), 10)).state.engine is None:
        pass
    async with aiohttp.ClientSession() as http, http.get(f"{spec.endpoint}/ui") as page:
        text = await page.text()
    server.stop()
    await asyncio.wait_for(running, 10)
    assert MODEL.served_name in text
    assert "Starting" in text
    assert "No engine answers at the moment" in text


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
    assert fit_settings(plan).max_prompt_tokens == limit


def test_prompts_of_an_adopted_server_are_not_fitted_for_time() -> None:
    found = Recognised(Backend("http://127.0.0.1:9", "vllm"), None, (ServedModel("m"),), ())
    assert fit_settings(adopted_plan.plan_for(found)[0]).max_prompt_tokens is None


@pytest.mark.parametrize(
    ("served", "listed"),
    [
        (ServedModel(MODEL.served_name), "Q4_1"),
        (ServedModel(MODEL.served_name, quantization="Q8_0"), "Q8_0"),
        (ServedModel("another"), None),
    ],
)
def test_quantization_that_the_engine_does_not_report_is_the_plans(
    served: ServedModel, listed: str | None
) -> None:
    plan = replace(PLAN, model=replace(MODEL, quantization="Q4_1"))
    assert planned(served, plan).quantization == listed
