"""The second engine of a deployment: its own start, state, log and end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import psutil
import pytest
from tests.unit.server.scripted_engine import PLAN, SLEEPS, ScriptedEngine
from tests.unit.server.test_engine_manager import CRASHES, QUICK, Gate

from stoker import paths
from stoker.engines import Backend, ProcessLaunch
from stoker.errors import StokerError
from stoker.server import deployment_state, lifecycle, log_file, ports
from stoker.server.completion_engine import CompletionEngine
from stoker.server.deployment_state import CompletionSpec, Deployment, LaunchSpec, LiveState
from stoker.server.engine_process import ProcessRun
from stoker.server.processes import ProcessId
from stoker.server.state_record import CompletionRecord, StateRecord

CODER = replace(PLAN, model=replace(PLAN.model, id="small", served_name="small"))


@pytest.fixture(autouse=True)
def _own_state(home: Path) -> None:
    deployment_state.state_folder()


def spec() -> LaunchSpec:
    bind, port = "127.0.0.1", ports.any_free()
    return LaunchSpec(PLAN, bind, port, fixed=("n-ctx",), completion=CompletionSpec(CODER))


class Beside:
    """A completion engine with what it owns."""

    def __init__(self, *scripts: str) -> None:
        self.whole = StateRecord(Deployment(spec()))
        self.record = CompletionRecord(self.whole)
        self.gate, self.stop = Gate(), asyncio.Event()
        log = log_file.logger(completion=True)
        self.engine = CompletionEngine(
            self.record, self.gate, ScriptedEngine(scripts), self.stop, QUICK, log
        )

    async def until(self, status: str) -> None:
        while self.record.state.status != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_it_starts_on_demand_and_once() -> None:
    it = Beside(SLEEPS)
    assert deployment_state.read() is None
    it.engine.start()
    it.engine.start()
    await asyncio.wait_for(it.until("ready"), 10)
    engine = it.record.state.engine
    assert engine is not None and engine.process() is not None
    it.stop.set()
    await it.engine.end()
    assert engine.process() is None
    assert it.record.state.status == "stopped"


async def test_what_it_does_is_written_beside_the_state_of_the_chat_which_stays_as_it_is() -> None:
    it = Beside(SLEEPS)
    it.whole.note(restarts=2)
    it.engine.start()
    await asyncio.wait_for(it.until("ready"), 10)
    kept = deployment_state.read()
    assert kept is not None and kept.completion is not None
    assert (kept.state.status, kept.state.restarts) == ("starting", 2)
    assert kept.completion.status == "ready"
    assert [phase.name for phase in kept.completion.phases] == ["start", "ready"]
    it.stop.set()
    await it.engine.end()


async def test_one_that_keeps_crashing_is_given_up_and_the_chat_goes_on() -> None:
    it = Beside(CRASHES)
    it.whole.move("ready")
    it.engine.start()
    await asyncio.wait_for(it.engine.ended(), 30)
    assert it.record.state.status == "failed"
    assert it.record.state.problem is not None
    assert it.whole.state.status == "ready" and it.whole.state.problem is None
    it.stop.set()
    await it.engine.end()
    assert it.record.state.status == "failed"


async def test_one_that_never_started_ends_at_once() -> None:
    it = Beside(SLEEPS)
    await asyncio.wait_for(it.engine.ended(), 1)
    await asyncio.wait_for(it.engine.end(), 1)


def test_what_the_user_fixed_of_the_chats_arguments_is_not_reported_of_its() -> None:
    own = Beside(SLEEPS).record.spec
    assert own.plan == CODER and own.fixed == () and own.completion is None


def test_a_corrected_argument_is_kept_in_its_own_plan() -> None:
    it = Beside(SLEEPS)
    it.record.replan(replace(CODER, max_model_len=1024))
    kept = deployment_state.read()
    assert kept is not None and kept.spec.completion is not None
    assert (kept.spec.plan.max_model_len, kept.spec.completion.plan.max_model_len) == (8192, 1024)


def test_it_has_a_log_of_its_own() -> None:
    log_file.open_log()
    log_file.open_log(completion=True)
    log_file.logger(completion=True).info("of the second")
    log_file.logger().info("of the first")
    assert [line[-13:] for line in log_file.lines(completion=True)] == ["of the second"]
    assert all("of the second" not in line for line in log_file.lines())


# The file


def test_a_deployment_with_two_engines_is_kept_whole() -> None:
    state = LiveState("ready", ProcessId(1, 2.0), ProcessId(3, 4.0))
    whole = Deployment(spec(), state, LiveState("failed", restarts=3))
    deployment_state.write(whole)
    assert deployment_state.read() == whole


def test_a_file_of_schema_2_which_knew_one_engine_is_read() -> None:
    whole = Deployment(replace(spec(), completion=None), LiveState("ready", ProcessId(1, 2.0)))
    deployment_state.write(whole)
    content = msgspec.json.decode(paths.deployment_file().read_bytes())
    del content["completion"], content["spec"]["completion"]
    del content["spec"]["plan"]["completion_slots"]
    paths.deployment_file().write_bytes(msgspec.json.encode({**content, "schema_version": 2}))
    assert deployment_state.read() == whole


# Down, and up again


def test_down_ends_both_engines_also_after_their_supervisor_was_killed() -> None:
    sleepers = [psutil.Popen([sys.executable, "-c", SLEEPS]) for _ in range(2)]
    chat, code = (ProcessId.of(each.pid) for each in sleepers)
    deployment_state.write(
        Deployment(spec(), LiveState("ready", engine=chat), LiveState("ready", engine=code))
    )
    assert lifecycle.stop()
    assert [each.process() for each in (chat, code)] == [None, None]
    assert deployment_state.read() is None


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_down_need_not_kill_one_that_was_paused_when_its_supervisor_was_killed(
    tmp_path: Path,
) -> None:
    ended = tmp_path / "ended"
    code = (
        "import os, signal, sys, time\n"
        "def end(*_):\n    open(sys.argv[1], 'w').close(); os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up', flush=True)\ntime.sleep(60)"
    )
    paused = psutil.Popen([sys.executable, "-c", code, str(ended)], stdout=subprocess.PIPE)
    assert paused.stdout.readline() == b"up\n"
    paused.suspend()
    engine = ProcessId.of(paused.pid)
    deployment_state.write(
        Deployment(spec(), LiveState("ready"), LiveState("ready", engine=engine))
    )
    assert lifecycle.stop()
    assert engine.process() is None and ended.exists()


def test_what_an_up_would_free_is_the_memory_of_both() -> None:
    sleepers = [psutil.Popen([sys.executable, "-c", SLEEPS]) for _ in range(2)]
    chat, code = (LiveState("ready", engine=ProcessId.of(each.pid)) for each in sleepers)
    both = Deployment(spec(), chat, code)
    deployment_state.write(both)
    held = [lifecycle.engine_memory_bytes(each) or 0 for each in both.engines]
    assert lifecycle.reclaimable_bytes() >= max(held) > 0
    lifecycle.stop()


def test_another_completion_model_is_another_deployment() -> None:
    running = spec()
    assert lifecycle.differences(running, running) == ["arguments of the completion engine"]
    without = replace(running, completion=None)
    assert lifecycle.differences(running, without) == ["completion small -> none"]


def running_mine() -> LaunchSpec:
    """``stoker up mine.gguf``, which runs."""
    running = replace(spec(), requirements=("mine.gguf", "llama.cpp"), completion=None)
    alive = LiveState("ready", supervisor=ProcessId.of(os.getpid()))
    deployment_state.write(Deployment(running, alive))
    return running


@pytest.mark.parametrize(
    ("asked", "keeps"),
    [
        ("", "`stoker up mine.gguf --completion=auto --replace`"),
        ("other.gguf", None),
    ],
)
def test_a_model_that_the_user_did_not_ask_for_is_no_reason_to_replace_the_one_that_runs(
    asked: str, keeps: str | None
) -> None:
    running = running_mine()
    model = replace(running.plan.model, id="chosen")
    wanted = replace(
        running,
        plan=replace(running.plan, model=model),
        requirements=(asked, "llama.cpp"),
        flags=("--completion=auto",),
    )
    with pytest.raises(StokerError) as refusal:
        lifecycle.start(wanted)
    assert "differs from what would be started: model " in refusal.value.why
    assert ("To keep its model" in refusal.value.fix) is (keeps is not None)
    assert keeps is None or keeps in refusal.value.fix


def test_what_is_adopted_beside_a_running_model_is_not_named_as_a_command_to_keep_it() -> None:
    running = running_mine()
    theirs = replace(running.plan.model, id="theirs")
    wanted = replace(
        running,
        plan=replace(running.plan, model=theirs),
        requirements=("adopted", "http://127.0.0.1:1234"),
        options=replace(running.options, adopted="http://127.0.0.1:1234"),
    )
    with pytest.raises(StokerError) as refusal:
        lifecycle.start(wanted)
    assert refusal.value.fix == "Add --replace to replace it, or stop it first: stoker down."


# Its place on the CPU


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("pausable", [True, False], ids=["pausable", "left alone"])
async def test_what_may_be_paused_stops_goes_on_and_ends(pausable: bool) -> None:
    launch = ProcessLaunch((sys.executable, "-c", SLEEPS), pausable=pausable)
    run = await ProcessRun.start(launch, Backend("http://127.0.0.1:9", "llama.cpp"))
    assert run.process is not None
    process = psutil.Process(run.process.pid)
    run.pause(paused=True)
    while pausable and process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert (process.status() == psutil.STATUS_STOPPED) is pausable
    assert await run.silent() is None  # it is no fault of others
    run.pause(paused=False)
    while process.status() == psutil.STATUS_STOPPED:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    run.pause(paused=True)
    await asyncio.wait_for(run.end(5.0), 3)
    assert run.process.process() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a thread's niceness")
async def test_it_stands_back_where_both_want_a_core_and_so_do_its_threads() -> None:
    code = (
        "import os, threading, time; "
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); "
        "print('up', flush=True); time.sleep(60)"
    )
    launch = ProcessLaunch((sys.executable, "-c", code))
    run = await ProcessRun.start(launch, Backend("http://127.0.0.1:9", "llama.cpp"), niceness=7)
    try:
        assert await anext(aiter(run.lines())) == "up"
        assert run.process is not None
        threads = [thread.id for thread in psutil.Process(run.process.pid).threads()]
        niceness = min(19, psutil.Process().nice() + 7)  # it is added to that of the server
        assert [psutil.Process(thread).nice() for thread in threads] == [niceness, niceness]
    finally:
        await run.end(1.0)
