"""What progress messages cost an agent's first turn, with and without the gateway's priorities.

``python benchmarks/utility_order.py`` sends what was recorded from VS Code 1.139: two requests for
progress messages (about 260 tokens in, 100 out), and 2.1 s later the first turn of an agent. The
gateway is in front of real llama.cpp as Stoker launches it, with one slot and with two. Runs with
and without priorities alternate, each with a new conversation; without them, the progress messages
are marked as turns.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import engine_worker
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support import real_models
from tests.support.utility_requests import progress_messages

from stoker import engines
from stoker.engines import Backend, Options, ProcessLaunch
from stoker.gateway import Gateway, Served
from stoker.models import load
from stoker.planning import Argument, MemoryPrediction, Plan
from stoker.server.ports import any_free

#: From the first progress message to the first agent turn, as recorded from VS Code 1.139.1.
GAP_S = 2.1
CONTEXT = 4096


@contextmanager
def engine(slots: int) -> Iterator[Backend]:
    """llama.cpp with SmolLM2, as Stoker launches it."""
    threads = os.cpu_count() or 1
    values = {
        "n_ctx": CONTEXT * slots,
        "n_parallel": slots,
        "cpuparams.n_threads": threads,
        "cpuparams_batch.n_threads": threads,
        "n_batch": 2048,
        "n_ubatch": 512,
        "cache_ram_mib": 1024,
    }
    arguments = tuple(Argument(name, value, "") for name, value in values.items())
    model = load(real_models.smollm2())
    plan = Plan(model, "llama.cpp", CONTEXT, slots, arguments, MemoryPrediction(0, 0, 0, 0))
    port = any_free()
    launch = engines.get("llama.cpp").launch(plan, port=port, key="key", options=Options())
    assert isinstance(launch, ProcessLaunch)
    with engine_worker.running(launch):
        yield Backend(f"http://127.0.0.1:{port}", "llama.cpp", "key")


def turn(number: int, words: int) -> dict[str, Any]:
    """An agent's first turn, of a conversation that is in no cache."""
    system = f"Project {number}. " + " ".join(
        f"Rule {number}.{n}: be careful." for n in range(words)
    )
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Look at a.py."}]
    return {"model": "local", "messages": messages, "max_tokens": 32, "temperature": 0}


async def first_token_s(http: aiohttp.ClientSession, body: dict[str, Any], priority: str) -> float:
    """Seconds to the first event that is not a comment; reads the answer to its end."""
    began, first = time.perf_counter(), 0.0
    headers = {"x-stoker-priority": priority}
    body = {**body, "stream": True}
    async with http.post("/v1/chat/completions", json=body, headers=headers) as response:
        async for line in response.content:
            if line.startswith(b"data: {") and not first:
                first = time.perf_counter() - began
    return first


async def one(http: aiohttp.ClientSession, number: int, words: int, utility: str) -> float:
    """The turn's time to its first token; progress messages have the priority ``utility``."""
    messages = [
        asyncio.create_task(first_token_s(http, progress_messages(f"{scenario} {number}"), utility))
        for scenario in ("edit", "generate")
    ]
    await asyncio.sleep(GAP_S)
    taken = await first_token_s(http, turn(number, words), "turn")
    await asyncio.gather(*messages)
    return taken


async def measure(backend: Backend, runs: int, words: int) -> dict[str, list[float]]:
    """The times with and without priorities, through a gateway in this process."""
    taken: dict[str, list[float]] = {"turn": [], "utility": []}
    gateway = Gateway()
    runner = gateway.runner()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(900)) as http:
        async with aiohttp.ClientSession() as plain:
            models = await engines.server_client(backend.engine).discover(plain, backend)
        gateway.serve([Served(backend, models)])
        for number in range(2 * runs):
            utility = ("turn", "utility")[number % 2]
            taken[utility].append(await one(http, number, words, utility))
    await runner.cleanup()
    return taken


def main() -> None:
    """Print the times side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--words", type=int, default=100, help="rules in the prompt, 12 tokens each"
    )
    options = parser.parse_args()
    print("slots  priorities  first token of the turn, s (median, all)")
    for slots in (1, 2):
        with engine(slots) as backend:
            taken = asyncio.run(measure(backend, options.runs, options.words))
        for utility, name in (("turn", "without"), ("utility", "with")):
            times = taken[utility]
            listed = ", ".join(f"{t:.1f}" for t in times)
            print(f"{slots:<6} {name:<11} {statistics.median(times):6.1f}   {listed}", flush=True)


if __name__ == "__main__":
    main()
