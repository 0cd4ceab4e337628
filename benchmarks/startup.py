"""How fast Stoker starts, and what it costs when idle: ``python benchmarks/startup.py``.

Goals: with Stoker installed and the small model there, ``stoker up`` to the first token in under
8 s; ``stoker status`` in under 300 ms; ``stoker doctor`` of the running deployment in under 3 s;
``stoker --help`` in under 150 ms; the idle supervisor in under 80 MB, engine excluded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from tests.support import real_models

from stoker.server.ports import any_free

MODEL = "smollm2-135m"
IDLE_S = 5.0
RUNS = 5


class Home:
    """The ``stoker`` command in its own home, with the user's downloaded models."""

    def __init__(self, folder: Path) -> None:
        real_models.share_cache(folder / "cache")
        self.env = {**os.environ, "STOKER_HOME": str(folder)}
        self.port = any_free()

    def run(self, *args: str) -> str:
        """The command's output; raises where it failed."""
        done = subprocess.run(
            [sys.executable, "-m", "stoker", *args],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        # The doctor exits with 1 where it finds something broken.
        if done.returncode > (args[0] == "doctor"):
            raise RuntimeError(done.stderr)
        return done.stdout

    def seconds(self, *args: str) -> float:
        """How long the command takes, from the start of its process to the end."""
        began = time.perf_counter()
        self.run(*args)
        return time.perf_counter() - began

    def first_token_s(self) -> float:
        """From the start of ``stoker up`` to the first piece of the model's answer."""
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "stoker", "up", MODEL, "--offline", "--port", str(self.port)],
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Asking it"):
                break
        process.stdout.readline()  # the empty line between question and answer
        process.stdout.read(1)
        took = time.perf_counter() - began
        process.stdout.read()
        process.wait()
        return took


def measure() -> dict[str, Any]:
    """All figures; times are medians, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        first = []
        for _ in range(RUNS):
            first.append(home.first_token_s())
            home.run("down")
        home.first_token_s()
        time.sleep(IDLE_S)
        supervisor = psutil.Process(json.loads(home.run("status", "--json"))["supervisor_pid"])
        return {
            "up_to_first_token_s": statistics.median(first),
            "status_s": statistics.median(home.seconds("status") for _ in range(RUNS)),
            "doctor_s": statistics.median(home.seconds("doctor") for _ in range(RUNS)),
            "help_s": statistics.median(home.seconds("--help") for _ in range(RUNS)),
            "idle_supervisor_mb": supervisor.memory_info().rss / 1e6,
            "down_s": home.seconds("down"),
        }


GOALS = {
    "up_to_first_token_s": 8.0,
    "status_s": 0.3,
    "doctor_s": 3.0,
    "help_s": 0.15,
    "idle_supervisor_mb": 80.0,
}


def main() -> None:
    """Print the figures beside their goals."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    figures = measure()
    if as_json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        goal = f"   goal: under {GOALS[name]:g}" if name in GOALS else ""
        print(f"{name:24} {value:8.3f}{goal}")


if __name__ == "__main__":
    main()
