"""Drafts that cost are switched off in a pause, and never in the middle of an answer."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from stoker.engines import Backend, ProcessLaunch, learned_drafts
from stoker.engines.llama_cpp.llama_drafts import KIND, draft_arguments
from stoker.gateway import GatewayTimings
from stoker.host import detect
from stoker.models import find_known_model
from stoker.planning import Argument, MemoryPrediction, Plan
from stoker.planning.draft_use import WARM_UP_STEPS, DraftUse
from stoker.server import deployment_state, draft_watch, ports, start_durations
from stoker.server.deployment_state import LaunchSpec
from stoker.server.engine_process import ProcessRun
from stoker.server.engine_run import StartProgress
from stoker.server.server import Server
from stoker.server.timeouts import Timeouts

#: Answers as llama.cpp does; a chat is answered once the file ``answer`` is there.
ENGINE = """
import json, pathlib, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
folder = pathlib.Path(sys.argv[2])
ANSWERS = {
    "/health": {},
    "/v1/models": {"data": [{"id": "coder"}]},
    "/props": {"default_generation_settings": {"n_ctx": 8192}, "total_slots": 1},
}
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.path == "/metrics":
            return self.send(200, (folder / "metrics").read_bytes())
        found = ANSWERS.get(self.path)
        self.send(404 if found is None else 200, json.dumps(found).encode())
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/chat/completions":
            return self.send(501, b"{}")
        while not (folder / "answer").exists():
            time.sleep(0.01)
        message = {"role": "assistant", "content": "done"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5, "completion_tokens": 1}
        self.send(200, json.dumps({"choices": [choice], "usage": usage}).encode())
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
KNOWN = find_known_model("qwen3.8-27b")[0]
MODEL = replace(
    KNOWN.model(next(form for form in KNOWN.weights if form.format == "gguf" and form.mtp_head)),
    served_name="coder",
    # So large that reading it is most of a step, also on these cores: there drafts can pay.
    weights_bytes=170 * 10**9,
)
PLAN = Plan(
    MODEL,
    "llama.cpp",
    8192,
    1,
    (Argument("n_gpu_layers", 0, ""), *draft_arguments(2, "")),
    MemoryPrediction(0, 0, 0, 0),
)


@dataclass
class CountingEngine:
    """Starts ``ENGINE``; ``count`` is what it reports of its drafts."""

    folder: Path
    name: str = "llama.cpp"
    #: What each start was asked to run.
    specs: list[LaunchSpec] = field(default_factory=list)

    async def start(self, spec: LaunchSpec, progress: StartProgress) -> ProcessRun:
        self.specs.append(spec)
        port = ports.any_free()
        launch = ProcessLaunch((sys.executable, "-c", ENGINE, str(port), str(self.folder)))
        return await ProcessRun.start(launch, Backend(f"http://127.0.0.1:{port}", self.name))

    def count(self, steps: int, accepted: float) -> None:
        """So many steps of two drafts each, of which so many were right in a step."""
        values = (steps, 2 * steps, int(accepted * steps))
        names = ("num_drafts", "num_draft_tokens", "num_accepted_tokens")
        lines = (
            f"{self.name.replace('.', '')}:spec_decode_{name}_total {value}\n"
            for name, value in zip(names, values, strict=True)
        )
        (self.folder / "metrics").write_text("".join(lines))

    def hold(self) -> None:
        """Answer no more chats."""
        (self.folder / "answer").unlink()

    def go_on(self) -> None:
        (self.folder / "answer").touch()


class Running:
    """A server with that engine."""

    def __init__(self, engine: CountingEngine, server: Server, endpoint: str) -> None:
        self.engine, self.server, self.endpoint = engine, server, endpoint

    @property
    def drafts(self) -> DraftUse | None:
        found = deployment_state.read()
        return found.state.drafts if found else None

    @property
    def steps(self) -> int:
        """Those that the server has noted."""
        return self.drafts.counts.steps if self.drafts else 0

    @property
    def status(self) -> str:
        found = deployment_state.read()
        return found.state.status if found else "stopped"

    async def chat(self) -> int:
        body: dict[str, Any] = {"model": "coder", "messages": [{"role": "user", "content": "Hi"}]}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.endpoint}/v1/chat/completions", json=body) as answer,
        ):
            assert answer.status != 200 or "done" in await answer.text()
            return answer.status

    async def counted(self, accepted: float, parts: int = 1) -> None:
        """Chat, and have it notice ``parts`` times as many steps as it judges at once."""
        for _ in range(parts):
            steps = WARM_UP_STEPS + self.steps
            self.engine.count(steps, accepted)
            assert await self.chat() == 200
            await until(lambda: self.steps == steps)  # noqa: B023  (it is awaited here)


async def until(what: Callable[[], bool]) -> None:
    async def seen() -> None:
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    await asyncio.wait_for(seen(), 20)


@asynccontextmanager
async def running(tmp_path: Path, *fixed: str, plan: Plan = PLAN) -> AsyncIterator[Running]:
    engine = CountingEngine(tmp_path, plan.engine)
    engine.count(0, 0)
    engine.go_on()
    spec = LaunchSpec(plan, "127.0.0.1", ports.any_free(), fixed=fixed)
    server = Server(spec, engine, Timeouts(grace_s=0.5), GatewayTimings(drain_s=0.1))
    task = asyncio.create_task(server.run())
    it = Running(engine, server, spec.endpoint)
    try:
        await until(lambda: it.status == "ready")
        yield it
    finally:
        engine.go_on()
        server.stop()
        await asyncio.wait_for(task, 20)


@pytest.fixture(autouse=True)
def _quick(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause is short; engines here start at once."""
    deployment_state.state_folder()
    monkeypatch.setattr(draft_watch, "_POLL_S", 0.05)
    monkeypatch.setattr(draft_watch, "IDLE_S", 0.2)
    takes(0.2, monkeypatch)


def takes(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_durations, "last_start_s", lambda _: seconds)


async def test_drafts_that_go_on_costing_are_left_out_of_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as it:
        await it.counted(0.1)
        assert it.drafts is not None and it.drafts.slow is None
        it.engine.count(2 * WARM_UP_STEPS, 0.1)
        assert await it.chat() == 200
        await until(lambda: len(it.engine.specs) == 2)
        await until(lambda: it.status == "ready")
        first, second = (spec.plan for spec in it.engine.specs)
        assert first.argument(KIND) == "draft-mtp"
        assert second.argument(KIND) is None
        assert any("without drafts, which cost" in reason for reason in second.reasons)
        assert it.drafts is not None and it.drafts.switched_off
        found = deployment_state.read()
        assert found is not None and found.state.restarts == 0 and found.state.problem is None
        assert found.spec.plan.argument(KIND) is None
        assert await it.chat() == 200
    assert "1.10 tokens a step with 2.0 drafts, 4,000 steps" in caplog.text
    assert list(learned_drafts.of(detect(tmp_path, ask_hub=False))) == [
        f"llama.cpp {MODEL.id} {MODEL.quantization}"
    ]


async def test_an_answer_that_is_under_way_ends_before_they_are_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes(1.5, monkeypatch)
    async with running(tmp_path) as it:
        await it.counted(0.1, parts=2)
        await until(lambda: it.drafts is not None and it.drafts.slow is not None)
        it.engine.hold()
        answer = asyncio.create_task(it.chat())
        await asyncio.sleep(2.5)  # longer than the pause that it waits for
        assert len(it.engine.specs) == 1
        it.engine.go_on()
        assert await answer == 200
        await until(lambda: len(it.engine.specs) == 2)
        assert it.engine.specs[1].plan.argument(KIND) is None


@pytest.mark.parametrize(
    ("accepted", "fixed", "tuned"),
    [(0.1, ("speculative.types",), False), (0.1, (), True), (1.9, (), False)],
)
async def test_what_pays_or_the_user_set_or_tune_found_stays(
    tmp_path: Path, accepted: float, fixed: tuple[str, ...], tuned: bool
) -> None:
    machine, wanted = detect(tmp_path, ask_hub=False), bool(fixed) or tuned
    if tuned:
        learned_drafts.allow(PLAN, machine)
    async with running(tmp_path, *fixed) as it:
        await it.counted(accepted, parts=3)
        await asyncio.sleep(0.5)  # longer than the pause that a switch waits for
        assert len(it.engine.specs) == 1
        assert it.drafts is not None and it.drafts.cost is not None
        assert (it.drafts.slow is not None, it.drafts.wanted) == (wanted, wanted)
    assert learned_drafts.of(machine) == {}


async def test_nothing_is_shown_before_there_is_enough_to_judge(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        it.engine.count(WARM_UP_STEPS - 1, 0.1)
        assert await it.chat() == 200
        await asyncio.sleep(0.5)  # longer than the pause after which it is asked
        assert it.drafts is None


EAGLE = json.dumps({"method": "eagle3", "num_speculative_tokens": 3})


async def test_a_vllm_is_asked_while_it_answers_and_drafts_of_unknown_cost_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_watch, "_FRESH_S", 0.1)
    monkeypatch.setattr(draft_watch, "IDLE_S", 60.0)
    drafting = Argument("speculative_config", EAGLE, "")
    plan = replace(PLAN, engine="vllm", arguments=(drafting,))
    async with running(tmp_path, plan=plan) as it:
        it.engine.hold()
        answer = asyncio.create_task(it.chat())
        for parts in (1, 2, 3):
            it.engine.count(parts * WARM_UP_STEPS, 0.1)
            await until(lambda: it.steps == parts * WARM_UP_STEPS)  # noqa: B023  (awaited here)
        assert not answer.done()
        assert it.drafts is not None
        assert (it.drafts.cost, it.drafts.slow, it.drafts.gain) == (None, None, None)
        it.engine.go_on()
        assert await answer == 200


async def test_a_llama_cpp_is_not_asked_while_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_watch, "_FRESH_S", 0.1)
    async with running(tmp_path) as it:
        it.engine.hold()
        answer = asyncio.create_task(it.chat())
        await asyncio.sleep(0.5)  # it has been asked before the answer began
        it.engine.count(WARM_UP_STEPS, 0.1)
        await asyncio.sleep(0.5)
        assert it.drafts is None
        it.engine.go_on()
        assert await answer == 200
        await until(lambda: it.steps == WARM_UP_STEPS)
