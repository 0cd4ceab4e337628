"""The simulation beside real engines on this CPU: ``python benchmarks/sizing_accuracy.py``.

Goal: P50 and P95 of the time to first token and per token within 20 % of measured at three loads.
It starts the small model on llama.cpp with four slots, or with ``--engine vllm`` on vLLM's CPU
build (``scripts/install-vllm.sh``), calibrates the step times with the rounds that ``stoker size
--calibrate`` sends (``measure_rounds``; prompts are shorter here, for a context of 2,048), then
sends traces of independent requests at 0.3, 0.55 and 0.8 of the rate that the calibrated simulation
sustains, and simulates the same arrivals with the lengths that the server counted. Other work on
the machine shows as an error, so how many cores it had is printed too, and ``--record`` writes it
into the docs' table with the figures. To come first, raise the priority of the whole session, as
Linux shares the cores among sessions: ``echo -15 > /proc/self/autogroup``. ``nice`` alone changes
nothing between them.

``--save FILE`` writes what was measured as a CSV file; ``--read FILE`` simulates such a file again
and starts nothing, with the step times of other rounds where ``--fit`` names them (``load 0.30``).
Of several files it prints the errors side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import engine_worker
import last_runs
import psutil

from stoker import models
from stoker.application.calibration_rounds import (
    LIGHT_REQUESTS,
    RoundSizes,
    capacity_per_s,
    measure_rounds,
)
from stoker.checks.bench.load_generator import Halt, LoadClient, open_loop, session
from stoker.checks.bench.request_timing import Timing
from stoker.checks.bench.workloads import Request
from stoker.engines import Backend, Options, ProcessLaunch, get
from stoker.planning import Argument, MemoryPrediction, Plan
from stoker.server.ports import any_free
from stoker.sizing import (
    ArrivingRequest,
    LlamaCppReplica,
    LogNormal,
    MeasuredAnswer,
    Replica,
    StepTimes,
    VllmReplica,
    calibrate,
)
from stoker.sizing.estimates import quantile
from stoker.sizing.step_calibration import replay_rounds

SLOTS, CONTEXT, BATCH = 4, 2048, 512
SEQUENCES = 16
#: SmolLM2-135M: 30 layers with 3 heads of 64, two values of 16 bits each.
_TOKEN_BYTES = 30 * 3 * 64 * 2 * 2
_CACHE_BYTES = 1 << 30
#: One core is left to the client and the server's HTTP: threads of a step wait for the slowest.
THREADS = max(1, (psutil.cpu_count() or 2) - 1)
PROMPT, ANSWER = LogNormal(220, 0.7, 20, 1500), LogNormal(30, 0.6, 4, 120)
LOADS = (0.3, 0.55, 0.8)
LIGHT_ROUND = "calibration light"
#: The longest is that of one prompt in thirty. On a CPU vLLM reads the tokens beyond some 800 half
#: as fast, which the step times can't have: with 1,200 words they were too slow for all.
CALIBRATION = RoundSizes(
    alone=[(words, 30) for words in (20, 150, 500, 800) * 2],
    together=(200, 40),
    light=(PROMPT, ANSWER),
)
COLUMNS = ("round", "at_s", "prompt_tokens", "output_tokens", "first_token_s", "token_s")
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


@dataclass(frozen=True)
class Engine:
    """What is started."""

    plan: Plan
    options: Options
    #: What the log prints when requests can be sent.
    ready: str

    def launch(self, port: int) -> ProcessLaunch:
        """Its process, as Stoker starts it."""
        spec = get(self.plan.engine).launch(self.plan, port=port, key="key", options=self.options)
        assert isinstance(spec, ProcessLaunch)
        return spec


def llama_cpp() -> Engine:
    """The small model in slots of equal size."""
    model = next(m for m in models.available() if "smollm2" in m.id)
    values = {"n_ctx": SLOTS * CONTEXT, "n_parallel": SLOTS, "n_batch": BATCH, "n_ubatch": BATCH}
    values |= {"cache_ram_mib": 0}
    values |= {"cpuparams.n_threads": THREADS, "cpuparams_batch.n_threads": THREADS}
    plan = Plan(
        model, "llama.cpp", CONTEXT, SLOTS, _arguments(values), MemoryPrediction(0, 0, 0, 0)
    )
    return Engine(plan, Options(), "ready on")


def vllm() -> Engine:
    """The small model on vLLM's CPU build, which gives a step all cores but one by itself."""
    script = Path(__file__).parents[1] / "scripts" / "install-vllm.sh"
    printed = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = dict(line.split("=", 1) for line in printed.splitlines())
    folder = Path(found["MODEL"])
    model = models.Model(folder.name, "safetensors", "disk", "smollm2", path=folder)
    values = {"max_model_len": CONTEXT, "max_num_seqs": SEQUENCES, "enforce_eager": True}
    values |= {"max_num_batched_tokens": CONTEXT, "kv_cache_memory_bytes": _CACHE_BYTES}
    plan = Plan(model, "vllm", CONTEXT, SEQUENCES, _arguments(values), MemoryPrediction(0, 0, 0, 0))
    return Engine(plan, Options(python=found["PYTHON"]), "startup complete")


def _arguments(values: dict[str, int | bool]) -> tuple[Argument, ...]:
    return tuple(Argument(name, value, "") for name, value in values.items())


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

    async def under_load(self, per_s: float, count: int) -> list[MeasuredAnswer]:
        """A Poisson trace of ``count`` requests at a rate."""
        rng = self._rng
        lengths = [(PROMPT.draw_count(rng), ANSWER.draw_count(rng)) for _ in range(count)]
        due_s = sorted(rng.uniform(0, count / per_s) for _ in range(count))
        return await self.round(lengths, due_s)


def compare(load: float, answers: list[MeasuredAnswer], replica: Replica) -> list[Row]:
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


#: The rounds by their names: calibration, then ``load 0.30`` and so on.
Rounds = dict[str, list[MeasuredAnswer]]


async def measure(
    url: str, replica: Replica, loads: Sequence[float], count: int
) -> tuple[Rounds, list[float]]:
    """Rounds to calibrate with, then one at each load, and how many cores others had during it."""
    async with session() as http:
        server = Server(LoadClient(http, Backend(url, "any", "key")), seed=7)
        *first, light = await measure_rounds(server.round, CALIBRATION, replica, print)
        rounds = {f"calibration {number}": list(answers) for number, answers in enumerate(first)}
        rounds[LIGHT_ROUND] = list(light)
        per_s = capacity_per_s(calibrated(rounds, replica), PROMPT, ANSWER)
        others: list[float] = []
        for load in loads:
            began_s, used_s = time.monotonic(), _used_by_others_s()
            rounds[f"load {load:.2f}"] = await server.under_load(load * per_s, count)
            others.append((_used_by_others_s() - used_s) / (time.monotonic() - began_s))
    return rounds, others


def _used_by_others_s() -> float:
    """Seconds of a core that processes other than the benchmark and its engine took until now."""
    mine = psutil.Process()
    own = [each.cpu_times() for each in (mine, *mine.children(recursive=True))]
    all_of_them = psutil.cpu_times()
    busy_s = sum(all_of_them) - all_of_them.idle - getattr(all_of_them, "iowait", 0.0)
    return busy_s - sum(each.user + each.system for each in own)


def calibrated(rounds: Rounds, replica: Replica, by: str = "calibration") -> Replica:
    """``replica`` with the step times that the rounds show whose names begin with ``by``."""
    sent = [answers for name, answers in rounds.items() if name.startswith(by)]
    return replace(replica, step_times=calibrate(sent, replica))


def save(rounds: Rounds, file: Path) -> None:
    """Write the rounds as a CSV file."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, answers in rounds.items():
            for a in answers:
                r, token = a.request, "" if a.token_s is None else f"{a.token_s:.6f}"
                row = (name, f"{r.at_s:.6f}", r.prompt_tokens, r.output_tokens)
                writer.writerow((*row, f"{a.first_token_s:.6f}", token))


def read(file: Path) -> Rounds:
    """The rounds of a CSV file."""
    rounds: Rounds = {}
    with file.open(newline="", encoding="utf-8") as rows:
        for number, row in enumerate(csv.DictReader(rows)):
            lengths = int(row["prompt_tokens"]), int(row["output_tokens"])
            request = ArrivingRequest(float(row["at_s"]), number, *lengths)
            token_s = float(row["token_s"]) if row["token_s"] else None
            answer = MeasuredAnswer(request, float(row["first_token_s"]), token_s)
            rounds.setdefault(row["round"], []).append(answer)
    if LIGHT_ROUND not in rounds:  # In older files the first of the lightest load stand for it.
        rounds[LIGHT_ROUND] = rounds[f"load {LOADS[0]:.2f}"][:LIGHT_REQUESTS]
    return rounds


def main() -> None:
    """Print each figure, measured and simulated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=tuple(ENGINES), default="llama.cpp")
    parser.add_argument("--requests", type=int, default=60, help="for each load")
    parser.add_argument("--loads", type=float, nargs="+", default=LOADS)
    parser.add_argument("--save", type=Path, help="write what was measured to this CSV file")
    parser.add_argument("--read", type=Path, nargs="+", help="simulate these CSV files")
    parser.add_argument("--fit", default="calibration", help="the rounds that give step times")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--record", action="store_true", help="write what was measured now")
    options = parser.parse_args()
    if options.record and options.read:
        parser.error("--record is for a run that measures: it writes how busy the machine is")
    start, replica = ENGINES[options.engine]
    if options.read and len(options.read) > 1:
        _print_table([figures(read(file), replica, options.fit)[1] for file in options.read])
        return
    if options.read:
        rounds = read(options.read[0])
    else:
        rounds, machine = _measured(start(), replica, options.loads, options.requests)
        print(machine)
    if options.save:
        save(rounds, options.save)
    replica, rows = figures(rounds, replica, options.fit)
    if options.record:
        _record(options.engine, rows, f"{machine}; {options.requests} requests a load")
    if options.json:
        print(json.dumps([[r.load, r.what, r.measured_s, r.simulated_s, r.error] for r in rows]))
        return
    print(replica.step_times)
    for row in rows:
        missed = "  missed" if abs(row.error) > GOAL else ""
        print(
            f"load {row.load:.2f}  {row.what:26} measured {row.measured_s:8.4f} s  "
            f"simulated {row.simulated_s:8.4f} s  {row.error:+.0%}{missed}"
        )


def figures(
    rounds: Rounds, replica: Replica, fit: str = "calibration"
) -> tuple[Replica, list[Row]]:
    """The calibrated replica, and its figures at each load."""
    replica = calibrated(rounds, replica, fit)
    loads = {float(name.split()[1]): a for name, a in rounds.items() if name.startswith("load")}
    return replica, [row for load, a in loads.items() for row in compare(load, a, replica)]


def _print_table(files: Sequence[Sequence[Row]]) -> None:
    """The errors of several recordings, side by side."""
    loads = list(dict.fromkeys(row.load for row in files[0]))
    lines = [["SmolLM2-135M", *(f"at {load:g} of its capacity" for load in loads)]]
    lines.append(["---"] * len(lines[0]))
    for what in dict.fromkeys(row.what for row in files[0]):
        cells = [_cell(files, load, what) for load in loads]
        lines.append([what, *cells])
    for line in lines:
        print(f"| {' | '.join(line)} |")


def _cell(files: Sequence[Sequence[Row]], load: float, what: str) -> str:
    errors = [r.error for rows in files for r in rows if (r.load, r.what) == (load, what)]
    missed = " (missed)" * any(abs(error) > GOAL for error in errors)
    return " / ".join(f"{100 * error:+.0f}" for error in errors) + " %" + missed


def _record(engine: str, rows: Sequence[Row], machine: str) -> None:
    """Each figure beside its measurement, for the docs."""
    loads = list(dict.fromkeys(row.load for row in rows))
    head = ["measured / simulated", *(f"at {load:g} of its capacity" for load in loads)]
    lines = []
    for what in dict.fromkeys(row.what for row in rows):
        own = [row for row in rows if row.what == what]
        lines.append([what, *(_beside(row) for row in own)])
    within = sum(abs(row.error) <= GOAL for row in rows)
    run = {"within": within, "figures": len(rows)}
    if engine == "vllm":
        last_runs.record("sizing_accuracy_vllm", run)
        last_runs.record_table("sizing_accuracy_vllm", head, lines, machine)
    else:
        last_runs.record("sizing_accuracy", run)
        last_runs.record_table("sizing_accuracy", head, lines, machine)


def _beside(row: Row) -> str:
    missed = " (missed)" * (abs(row.error) > GOAL)
    measured_ms, simulated_ms = 1e3 * row.measured_s, 1e3 * row.simulated_s
    return f"{measured_ms:.4g} / {simulated_ms:.4g} ms, {100 * row.error:+.0f} %{missed}"


def _measured(
    engine: Engine, replica: Replica, loads: Sequence[float], count: int
) -> tuple[Rounds, str]:
    """The rounds, and how busy the machine was."""
    port = any_free()
    began = os.getloadavg()[0]
    with engine_worker.running(engine.launch(port), engine.ready):
        rounds, others = asyncio.run(measure(f"http://127.0.0.1:{port}", replica, loads, count))
    return rounds, (
        f"{psutil.cpu_count()} cores, of which others had {', '.join(f'{n:.1f}' for n in others)} "
        f"at the loads; load average {began:.0f} before, {os.getloadavg()[0]:.0f} after"
    )


#: What starts each, and how the simulation describes it before it is calibrated.
ENGINES: dict[str, tuple[Callable[[], Engine], Replica]] = {
    "llama.cpp": (llama_cpp, LlamaCppReplica(_PLANNED, SLOTS, CONTEXT, BATCH)),
    "vllm": (
        vllm,
        VllmReplica(
            _PLANNED,
            kv_cache_tokens=_CACHE_BYTES // _TOKEN_BYTES,
            max_model_len=CONTEXT,
            max_num_seqs=SEQUENCES,
            max_num_batched_tokens=CONTEXT,
            # What vLLM's platform for the CPU sets (vllm/platforms/cpu.py, 0.32.0).
            block_size=128,
            async_scheduling=False,
        ),
    ),
}

if __name__ == "__main__":
    main()
