"""The engine is started until it is ready, restarted when it crashes, and at last given up."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.server.scripted_engine import PLAN, SLEEPS, ScriptedEngine

from stoker.engines import Backend
from stoker.errors import Problem
from stoker.server import deployment_state, start_durations
from stoker.server.deployment_state import Deployment, LaunchSpec
from stoker.server.engine_manager import EngineManager
from stoker.server.state_record import StateRecord
from stoker.server.timeouts import Timeouts

QUICK = Timeouts(backoff_s=(0.01, 0.01), recovered_s=60.0, stalled_s=30.0, grace_s=0.5)
CRASHES = "import time; time.sleep(0.3); raise SystemExit(3)"
#: vLLM's estimate of the context that fits, after which it ends.
TOO_LONG = """
print("Based on the available memory, the estimated maximum model length is 1024. Try increasing")
raise SystemExit(1)
"""


class Gate:
    """A gateway that notes whether it is open. Each run answers after so many checks.

    ``unlisted``: so often the engine answers and does not list its models.
    """

    def __init__(self, ready_after: int = 0, unlisted: int = 0) -> None:
        self.open_ = False
        self._unlisted = unlisted
        self.history: list[str] = []
        self._checks_left = ready_after

    async def ready(self, backend: Backend) -> bool:
        self._checks_left -= 1
        return self._checks_left < 0

    async def open(self, backend: Backend) -> bool:
        if self._unlisted > 0:
            self._unlisted -= 1
            return False
        self.open_ = True
        self.history.append("open")
        return True

    def close(self, problem: Problem) -> None:
        self.open_ = False
        self.history.append("closed")


class Managed:
    """A manager with what it owns, ready to run."""

    def __init__(self, engine: ScriptedEngine, gate: Gate, spec: LaunchSpec) -> None:
        self.engine, self.gate = engine, gate
        self.record = StateRecord(Deployment(spec))
        self.stop = asyncio.Event()
        self.manager = EngineManager(self.record, gate, engine, self.stop, QUICK)

    async def run(self) -> Problem | None:
        try:
            return await asyncio.wait_for(self.manager.run(), 30)
        finally:
            await self.manager.end()

    async def until(self, status: str) -> None:
        while self.record.state.status != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    @property
    def states(self) -> list[str]:
        """The states that were recorded, each once in a row."""
        seen: list[str] = []
        while not self.record.changes.empty():
            status = self.record.changes.get_nowait().state.status
            if seen[-1:] != [status]:
                seen.append(status)
        return seen


@pytest.fixture(autouse=True)
def _own_state(home: Path) -> None:
    deployment_state.state_folder()


def managed(*scripts: str, gate: Gate | None = None, fixed: tuple[str, ...] = ()) -> Managed:
    spec = LaunchSpec(PLAN, "127.0.0.1", 8000, fixed=fixed)
    return Managed(ScriptedEngine(scripts), gate or Gate(), spec)


async def test_a_crashed_engine_is_restarted_after_each_backoff_and_then_given_up() -> None:
    it = managed(CRASHES)
    problem = await it.run()
    assert problem is not None
    assert problem.what == "The engine crashed 3 times and was not started again."
    assert "exit code 3" in problem.why
    assert len(it.engine.specs) == 1 + len(QUICK.backoff_s)
    assert it.record.state.restarts == len(QUICK.backoff_s)
    assert it.states == ["starting", "ready", "restarting", "ready", "restarting", "ready"]
    assert it.gate.history == ["open", "closed"] * 3


async def test_an_engine_that_does_not_list_its_models_yet_is_asked_again() -> None:
    it = managed(SLEEPS, gate=Gate(unlisted=2))
    running = asyncio.create_task(it.run())
    await it.until("ready")
    assert it.gate.history == ["open"]
    it.stop.set()
    assert await running is None


async def test_the_order_to_stop_ends_a_ready_engine_without_a_problem() -> None:
    it = managed(SLEEPS)
    running = asyncio.create_task(it.run())
    await it.until("ready")
    engine = it.record.state.engine
    it.stop.set()
    assert await running is None
    assert engine is not None and engine.process() is None


OTHER = Problem("The engine is started again.")


async def test_a_ready_engine_is_started_again_with_another_plan_at_once_and_as_no_crash() -> None:
    it = managed(SLEEPS)
    running = asyncio.create_task(it.run())
    await it.until("ready")
    before, other = it.record.state.engine, replace(PLAN, parallel=2)
    it.manager.start_again(other, OTHER)
    assert it.gate.history == ["open", "closed"]  # before anything else can come in
    while len(it.engine.specs) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await it.until("ready")
    assert before is not None and before.process() is None
    assert [spec.plan.parallel for spec in it.engine.specs] == [1, 2]
    assert it.record.spec.plan is other
    assert it.record.state.restarts == 0
    assert it.states == ["starting", "ready", "restarting", "ready"]
    it.stop.set()
    assert await running is None


class DeafGate(Gate):
    """Nothing answers in the second start."""

    engine: ScriptedEngine

    async def ready(self, backend: Backend) -> bool:
        return len(self.engine.specs) != 2


async def test_an_engine_that_does_not_start_with_another_plan_is_started_as_it_was() -> None:
    gate = DeafGate()
    it = managed(SLEEPS, "raise SystemExit(3)", SLEEPS, gate=gate)
    gate.engine = it.engine
    running = asyncio.create_task(it.run())
    await it.until("ready")
    it.manager.start_again(replace(PLAN, parallel=2), OTHER)
    while len(it.engine.specs) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await it.until("ready")
    assert [spec.plan.parallel for spec in it.engine.specs] == [1, 2, 1]
    assert it.record.spec.plan is PLAN
    it.stop.set()
    assert await running is None


async def test_the_order_to_stop_goes_before_another_plan() -> None:
    it = managed(SLEEPS)
    running = asyncio.create_task(it.run())
    await it.until("ready")
    it.manager.start_again(replace(PLAN, parallel=2), OTHER)
    it.stop.set()
    assert await running is None
    assert len(it.engine.specs) == 1


async def test_only_the_first_start_of_a_deployment_is_remembered_as_its_time() -> None:
    it = managed(SLEEPS)
    it.record.note(started_at=time.time())
    running = asyncio.create_task(it.run())
    await it.until("ready")
    took_s = start_durations.last_start_s(it.record.spec)
    assert took_s is not None and took_s < 60
    it.record.note(started_at=time.time() - 86_400)  # it runs since yesterday
    it.manager.start_again(PLAN, OTHER)
    while len(it.engine.specs) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await it.until("ready")
    assert start_durations.last_start_s(it.record.spec) == took_s
    it.stop.set()
    assert await running is None


async def test_the_order_to_stop_ends_an_engine_that_is_starting() -> None:
    it = managed(SLEEPS, gate=Gate(ready_after=10**6))
    running = asyncio.create_task(it.run())
    while it.record.state.engine is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    it.stop.set()
    assert await running is None
    assert it.states == ["starting"]


async def test_a_start_that_fails_for_a_known_argument_is_tried_once_with_another() -> None:
    it = managed(TOO_LONG, SLEEPS, gate=Gate(ready_after=100))
    running = asyncio.create_task(it.run())
    await it.until("ready")
    it.stop.set()
    assert await running is None
    assert [spec.plan.max_model_len for spec in it.engine.specs] == [PLAN.max_model_len, 1024]


async def test_an_argument_that_the_user_set_is_not_corrected() -> None:
    it = managed(TOO_LONG, SLEEPS, gate=Gate(ready_after=10**6), fixed=("max-model-len",))
    problem = await it.run()
    assert problem is not None
    assert len(it.engine.specs) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGSTOP")
async def test_requests_are_refused_while_the_engine_is_frozen() -> None:
    it = managed(SLEEPS)
    running = asyncio.create_task(it.run())
    await it.until("ready")
    engine = it.record.state.engine
    assert engine is not None
    os.killpg(engine.pid, signal.SIGSTOP)
    await it.until("silent")
    assert not it.gate.open_
    assert it.record.state.problem is not None and "frozen" in it.record.state.problem.what
    os.killpg(engine.pid, signal.SIGCONT)
    await it.until("ready")
    assert it.gate.open_
    assert it.record.state.problem is None
    it.stop.set()
    assert await running is None
    assert it.states == ["starting", "ready", "silent", "ready"]
