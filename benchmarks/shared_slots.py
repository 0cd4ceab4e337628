"""How six conversations share two slots of llama.cpp: a part of ``benchmarks/warm.py``.

Conversations of two clients (VS Code's two harnesses, recorded) come in turn, in runs of one to
four requests, and one of them alone. Each pattern runs with the slots that the gateway chooses, and
with those that llama.cpp chooses by itself, as before. What counts are tokens, so a model with one
layer does, and nothing depends on how fast this machine is.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from aiohttp import web
from benchmarks import engine_worker
from benchmarks.last_runs import record_table
from benchmarks.sent_rows import Body, Row, another_conversation, send
from tests.support import real_models
from tests.support.one_layer import one_layer_gguf
from tests.support.recorded import FIXTURES, load

from stoker import engines, host, models
from stoker.engines import Backend, Options, ProcessLaunch
from stoker.gateway import Gateway, Served
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.planning import Candidate, Plan, Requirements
from stoker.server.ports import any_free

CONTEXT, SLOTS, TURNS = 8192, 2, 7
GOAL = 0.05
#: Reading is slow, so that heads are kept stable, but nothing is cut for time.
FIT = FitSettings(max_prompt_tokens="auto", prefill_tokens_per_s=1e5)
QUESTIONS = (
    "Add a license header to every file in the folder src.",
    "Why does the last test fail?",
    "Rename the class Loader.",
)
#: llama.cpp's own default, which was in effect before.
BY_ITSELF = 0.1


def conversations() -> list[list[Body]]:
    """Six of them, the first requests of each, whose clients alternate."""
    recorded = [load(FIXTURES / f"six_turns_{name}.json.gz") for name in ("local", "copilot")]
    return [
        [another_conversation(request, question) for request in requests[:TURNS]]
        for question in QUESTIONS
        for requests in recorded
    ]


def in_turn() -> list[Body]:
    """One request of each at a time."""
    return [request for round_ in zip(*conversations(), strict=True) for request in round_]


def in_runs() -> list[Body]:
    """One to four requests of a conversation before another one goes on."""
    chance, left, sent = random.Random(1), conversations(), []
    while any(left):
        requests = chance.choice([each for each in left if each])
        for _ in range(chance.randint(1, 4)):
            sent += requests[:1]
            del requests[:1]
    return sent


def alone() -> list[Body]:
    """All requests of one conversation."""
    return load(FIXTURES / "six_turns_local.json.gz")


PATTERNS = {"six in turn": in_turn, "one to four at a time": in_runs, "one alone": alone}


def planned(path: Path) -> Plan:
    """The plan for a model's file."""
    model = models.load(path)
    planner = engines.lookup("llama.cpp").planner
    assert planner is not None
    wanted = Requirements(context=CONTEXT, parallel=SLOTS, named=True)
    plan = planner.plan(host.detect(path.parent), Candidate(model), wanted, None)
    assert plan is not None
    return plan


def as_before(plan: Plan) -> Plan:
    """The same, where llama.cpp chooses slots as it does by default."""
    changed = (
        replace(each, value=BY_ITSELF) if each.name == "slot_prompt_similarity" else each
        for each in plan.arguments
    )
    return replace(plan, arguments=tuple(changed))


@contextmanager
def engine(plan: Plan) -> Iterator[Backend]:
    """llama.cpp as Stoker launches it."""
    port = any_free()
    launch = engines.get("llama.cpp").launch(plan, port=port, key="key", options=Options())
    assert isinstance(launch, ProcessLaunch)
    with engine_worker.running(launch):
        yield Backend(f"http://127.0.0.1:{port}", "llama.cpp", "key")


@dataclass(frozen=True)
class Shares:
    """Of all tokens of the prompts: those read again, and those from the cache."""

    again: float
    cached: float

    def __str__(self) -> str:
        return f"{self.again:>10.1%} {self.cached:>10.1%}"


async def shares(backend: Backend, requests: list[Body], *, is_ours: bool) -> Shares:
    """Send the requests through a gateway in this process."""
    gateway = Gateway()
    runner = gateway.runner()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as http:
        served = await engines.server_client(backend.engine).discover(http, backend)
        gateway.serve([Served(backend, served, FIT, is_ours=is_ours)])
        rows: list[Row] = [await asyncio.to_thread(send, url, body) for body in requests]
        wasted = await _wasted_tokens(http, url)
    await runner.cleanup()
    sent = sum(row.prompt_tokens for row in rows)
    return Shares(wasted / sent, sum(row.cached_tokens for row in rows) / sent)


async def _wasted_tokens(http: aiohttp.ClientSession, url: str) -> float:
    async with http.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    counted = (line for line in lines if line.startswith("stoker_prefill_tokens_total{"))
    return sum(float(line.split()[-1]) for line in counted if 'kind="wasted"' in line)


def report(patterns: Iterable[str] = PATTERNS, *, is_recorded: bool = False) -> None:
    """A line for each pattern, before and now, and whether the goal is missed."""
    rows = []
    columns = f"{'again':>10} {'cached':>10}"
    print(f"{'of all prompt tokens':22} {'before':>21} {'now':>21}")
    print(f"{'':22} {columns} {columns}   goal: under {GOAL:.0%} again")
    with tempfile.TemporaryDirectory() as folder:
        plan = planned(one_layer_gguf(real_models.qwen(), Path(folder)))
        for name in patterns:
            requests = PATTERNS[name]()
            with engine(as_before(plan)) as backend:
                before = asyncio.run(shares(backend, requests, is_ours=False))
            with engine(plan) as backend:
                now = asyncio.run(shares(backend, requests, is_ours=True))
            missed = "" if now.again < GOAL else "   MISSED"
            print(f"{name:22} {before} {now}{missed}", flush=True)
            rows.append((name, f"{before.again:.1%}", f"{now.again:.1%}", f"{GOAL:.0%}"))
    if is_recorded:
        head = ("traffic", "before", "now", "goal")
        record_table("warm_slots", head, rows, "counted, not timed")
