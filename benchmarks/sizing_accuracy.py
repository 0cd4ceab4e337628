"""The simulation beside real llama.cpp: ``python benchmarks/sizing_accuracy.py``.

Goal: P50 and P95 of the time to first token and per token within 20 % of measured at three loads.
It starts the small model with four slots, measures a few requests to calibrate the step times, then
sends traces of independent requests at 0.3, 0.55 and 0.8 of the rate that the calibrated simulation
sustains, and simulates the same arrivals with the lengths that the server counted. Other work on
the machine shows as an error, so the load average before and after is printed too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import engine_worker
import psutil

from stoker import models
from stoker.checks.bench.load_generator import Halt, LoadClient, open_loop, session
from stoker.checks.bench.request_timing import Timing
from stoker.checks.bench.workloads import Request
from stoker.engines import Backend, Options
from stoker.engines.llama_cpp.llama_launch import launch
from stoker.planning import Argument, MemoryPrediction, Plan
from stoker.server.ports import any_free
from stoker.sizing import (
    ArrivingRequest,
    LlamaCppReplica,
    LogNormal,
    MeasuredAnswer,
    StepTimes,
    calibrate,
)
from stoker.sizing.estimates import quantile
from stoker.sizing.step_calibration import replay_rounds

SLOTS, CONTEXT, BATCH = 4, 2048, 512
#: One core is left to the client and the server's HTTP: threads of a step wait for the slowest.
THREADS = max(1, (psutil.cpu_count() or 2) - 1)
PROMPT, ANSWER = LogNormal(220, 0.7, 20, 1500), LogNormal(30, 0.6, 4, 120)
LOADS = (0.3, 0.55, 0.8)
GOAL = 0.2
WORDS = ("river", "stone", "light", "paper", "cloud", "table", "green", "music")
_PLANNED = StepTimes.of_rates(prefill_tokens_per_s=400, decode_tokens_per_s=60, further_s=2e-3)


@dataclass(frozen=True)
class Row:
    """One figure at one load, in seconds."""

    load: float
    what: str
    measured_s: float
    simulated_s: float

    @property
    def error(self) -> float:
        """How far the simulation is off, as a share of what was measured."""
        return self.simulated_s / self.measured_s - 1


def plan() -> Plan:
    """The small model in slots of equal size, as ``REPLICA`` describes it."""
    model = next(m for m in models.available() if "smollm2" in m.id)
    values = {"n_ctx": SLOTS * CONTEXT, "n_parallel": SLOTS, "n_batch": BATCH, "n_ubatch": BATCH}
    values |= {"cache_ram_mib": 0}
    values |= {"cpuparams.n_threads": THREADS, "cpuparams_batch.n_threads": THREADS}
    arguments = tuple(Argument(name, value, "") for name, value in values.items())
    return Plan(model, "llama.cpp", CONTEXT, SLOTS, arguments, MemoryPrediction(0, 0, 0, 0))


def asked(rng: random.Random, words: int, answer_tokens: int) -> Request:
    """A prompt that shares nothing with another: its words and their first are drawn."""
    text = " ".join(rng.choice(WORDS) for _ in range(words))
    body = {
        "prompt": f"{rng.getrandbits(64):x} {text}",
        "max_tokens": answer_tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return Request("/v1/completions", body)


def measured(number: int, timing: Timing) -> MeasuredAnswer:
    """A request with the lengths that the server counted, and its times."""
    assert timing.failure is None and timing.prompt_tokens and timing.answer_tokens, timing
    request = ArrivingRequest(timing.arrival_s, number, timing.prompt_tokens, timing.answer_tokens)
    return MeasuredAnswer(request, timing.first_token_s, timing.token_s)


class Server:
    """Sends rounds of requests to the real server."""

    def __init__(self, client: LoadClient, seed: int) -> None:
        self._client = client
        self._rng = random.Random(seed)
        self._sent = 0

    async def round(
        self, lengths: Sequence[tuple[int, int]], due_s: Sequence[float]
    ) -> list[MeasuredAnswer]:
        """The answers to requests of so many words and answer tokens, sent when they are due."""
        requests = [asked(self._rng, words, tokens) for words, tokens in lengths]
        timings = await open_loop(self._client.send, requests, due_s, Halt(900))
        self._sent += len(requests)
        return [measured(self._sent + i, timing) for i, timing in enumerate(timings)]

    async def for_calibration(self) -> list[list[MeasuredAnswer]]:
        """Alone with four lengths, twice each, and two, four and eight at once."""
        rounds = [await self.round([(words, 30)], [0.0]) for words in (20, 150, 500, 1200) * 2]
        for count in (2, 4, 8):
            rounds.append(await self.round([(200, 40)] * count, [0.0] * count))
        return rounds[1:]  # The first also warmed the server up.

    async def under_load(self, per_s: float, count: int) -> list[MeasuredAnswer]:
        """A Poisson trace of ``count`` requests at a rate."""
        rng = self._rng
        lengths = [(PROMPT.draw_count(rng), ANSWER.draw_count(rng)) for _ in range(count)]
        due_s = sorted(rng.uniform(0, count / per_s) for _ in range(count))
        return await self.round(lengths, due_s)


def capacity_per_s(replica: LlamaCppReplica, count: int = 400) -> float:
    """Requests a second when as many as there are wait: what the calibrated server sustains."""
    rng = random.Random(1)
    answers = [
        MeasuredAnswer(ArrivingRequest(0.0, n, PROMPT.draw_count(rng), ANSWER.draw_count(rng)), 1.0)
        for n in range(count)
    ]
    return count / max(first_s for first_s, _ in replay_rounds([answers], replica))


def compare(load: float, answers: list[MeasuredAnswer], replica: LlamaCppReplica) -> list[Row]:
    """Percentiles of a trace, measured and simulated."""
    simulated = replay_rounds([answers], replica)
    both = list(zip(answers, simulated, strict=True))
    pairs = {
        "time to first token": [(a.first_token_s, first_s) for a, (first_s, _) in both],
        "time per token": [(a.token_s, t) for a, (_, t) in both if a.token_s and t],
    }
    rows = []
    for what, values in pairs.items():
        real, own = (sorted(side) for side in zip(*values, strict=True))
        rows += [
            Row(
                load,
                f"{what}, P{share:.0%}".rstrip("%"),
                quantile(real, share),
                quantile(own, share),
            )
            for share in (0.5, 0.95)
        ]
    return rows


async def run(url: str, key: str, count: int) -> tuple[StepTimes, list[Row]]:
    """Calibrate, then measure and simulate the three loads."""
    replica = LlamaCppReplica(_PLANNED, SLOTS, CONTEXT, BATCH)
    async with session() as http:
        server = Server(LoadClient(http, Backend(url, "llama.cpp", key)), seed=7)
        replica = replace(replica, step_times=calibrate(await server.for_calibration(), replica))
        per_s = capacity_per_s(replica)
        rows: list[Row] = []
        for load in LOADS:
            rows += compare(load, await server.under_load(load * per_s, count), replica)
    return replica.step_times, rows


def main() -> None:
    """Print each figure, measured and simulated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=60, help="for each load")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    port = any_free()
    spec = launch(plan(), port=port, key="key", options=Options())
    others = psutil.getloadavg()[0]
    with engine_worker.running(spec):
        times, rows = asyncio.run(run(f"http://127.0.0.1:{port}", "key", options.requests))
    if options.json:
        print(json.dumps([[r.load, r.what, r.measured_s, r.simulated_s, r.error] for r in rows]))
        return
    print(f"load average: {others:.1f} before, {psutil.getloadavg()[0]:.1f} after; {times}")
    for row in rows:
        missed = "  missed" if abs(row.error) > GOAL else ""
        print(
            f"load {row.load:.2f}  {row.what:26} measured {row.measured_s:8.4f} s  "
            f"simulated {row.simulated_s:8.4f} s  {row.error:+.0%}{missed}"
        )


if __name__ == "__main__":
    main()
