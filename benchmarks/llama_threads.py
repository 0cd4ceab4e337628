"""What llama.cpp's waiting threads cost, on idle cores and on busy ones.

``python benchmarks/llama_threads.py`` runs the engine with Stoker's thread settings and with
libgomp's defaults, in turns, alone and beside ``--busy`` busy processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import replace

import engine_worker

from stoker import models
from stoker.engines import Options, ProcessLaunch
from stoker.engines.llama_cpp.llama_launch import launch
from stoker.planning import Argument, MemoryPrediction, Plan
from stoker.server.ports import any_free

SPIN = "while True: pass"
RUNS = 3


def plan() -> Plan:
    """The small model on as many threads as there are cores."""
    model = next(m for m in models.available() if "smollm2" in m.id)
    threads = os.cpu_count() or 1
    values = {"n_ctx": 4096, "cpuparams.n_threads": threads, "cpuparams_batch.n_threads": threads}
    arguments = tuple(Argument(name, value, "") for name, value in values.items())
    return Plan(model, "llama.cpp", 4096, 1, arguments, MemoryPrediction(0, 0, 0, 0))


def measure(launch: ProcessLaunch, port: int) -> tuple[float, float]:
    """Prompt and answer tokens per second of one request, as the engine times them."""
    body = {"messages": [{"role": "user", "content": "hello " * 300}], "max_tokens": 40}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": "Bearer key", "Content-Type": "application/json"},
    )
    with engine_worker.running(launch):
        timings = json.load(urllib.request.urlopen(request, timeout=600))["timings"]
    return timings["prompt_per_second"], timings["predicted_per_second"]


def compare(env: Mapping[str, str] | None) -> tuple[float, float]:
    """Medians of several runs; ``env`` replaces Stoker's environment variables."""
    figures = []
    for _ in range(RUNS):
        port = any_free()
        spec = launch(plan(), port=port, key="key", options=Options())
        figures.append(measure(spec if env is None else replace(spec, env=env), port))
    prompt, answer = zip(*figures, strict=True)
    return statistics.median(prompt), statistics.median(answer)


def main() -> None:
    """Print the figures of both settings, idle and busy."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--busy", type=int, default=3 * (os.cpu_count() or 1))
    busy = parser.parse_args().busy
    print(f"{'':28}{'prompt tokens/s':>18}{'answer tokens/s':>18}")
    for beside in (0, busy):
        others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(beside)]
        try:
            for name, env in (("as Stoker launches it", None), ("libgomp's default", {})):
                prompt, answer = compare(env)
                print(f"{name + f', {beside} beside':28}{prompt:18.1f}{answer:18.1f}")
        finally:
            for other in others:
                other.kill()


if __name__ == "__main__":
    main()
