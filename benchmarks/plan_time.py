"""How fast the commands are that start nothing: ``python benchmarks/plan_time.py``.

Goals: ``stoker plan``, ``stoker models`` and ``stoker status`` in under 300 ms, ``stoker --help``
in under 150 ms. Medians of 10 runs of whole processes, after one that compiles the modules as pip
does when it installs them. CPU time is printed too: it is what the command costs on a busy
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass

RUNS = 10
#: Arguments, and the goal in seconds.
COMMANDS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("plan",), 0.3),
    (("plan", "--gpu", "RTX 4060 8GB", "qwen2.5-coder-7b"), 0.3),
    (("plan", "--gpu", "H200", "--gpus", "8", "--users", "300"), 0.3),
    (("models", "--fits", "--gpu", "RTX 4060 8GB"), 0.3),
    (("status",), 0.3),
    (("--help",), 0.15),
)


@dataclass(frozen=True)
class CommandTiming:
    """One command's medians in seconds: wall-clock and CPU time."""

    command: str
    wall_s: float
    cpu_s: float
    goal_s: float


def measure(arguments: tuple[str, ...], goal_s: float, env: dict[str, str]) -> CommandTiming:
    """Run ``stoker`` with ``arguments``; raises where it fails."""
    walls, cpus = [], []
    for _ in range(RUNS + 1):
        began, used = time.perf_counter(), _children_cpu_s()
        argv = [sys.executable, "-m", "stoker", *arguments]
        subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, check=True)
        walls.append(time.perf_counter() - began)
        cpus.append(_children_cpu_s() - used)
    command = " ".join(("stoker", *arguments))
    return CommandTiming(command, statistics.median(walls[1:]), statistics.median(cpus[1:]), goal_s)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print each command's medians beside its goal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "STOKER_HOME": home}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        timings = [measure(arguments, goal, env) for arguments, goal in COMMANDS]
    if as_json:
        print(json.dumps([asdict(timing) for timing in timings], indent=2))
        return
    for timing in timings:
        print(
            f"{timing.command:52} {1e3 * timing.wall_s:5.0f} ms, {1e3 * timing.cpu_s:4.0f} ms CPU"
            f"   goal: under {1e3 * timing.goal_s:.0f}"
        )


if __name__ == "__main__":
    main()
