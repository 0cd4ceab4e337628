"""Real vLLM on the CPU, and a small model for it, installed by the project's own script."""

from __future__ import annotations

import functools
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.support import real_models

from stoker import engines
from stoker.engines import Options, ProcessLaunch
from stoker.engines.vllm.vllm_launch import KEY_GUARD
from stoker.models import Model
from stoker.planning import Argument, MemoryPrediction, Plan
from stoker.server.ports import any_free

_START_S = 400.0
_SCRIPTS = Path(__file__).parents[2] / "scripts"


@dataclass(frozen=True)
class VllmCpu:
    """The folders of the installation."""

    python: str
    model: Path


@functools.cache
def installed() -> VllmCpu:
    """Install it if necessary: takes minutes, once per machine."""
    done = subprocess.run(
        [_SCRIPTS / "install-vllm.sh"], check=True, stdout=subprocess.PIPE, text=True
    )
    paths = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return VllmCpu(paths["PYTHON"], Path(paths["MODEL"]))


@functools.cache
def qwen() -> Path:
    """Qwen2.5-Coder-0.5B for vLLM, from its GGUF: 1 GB, half a minute, once per machine."""
    folder = installed().model.with_name("qwen2.5-coder-0.5b-instruct")
    if not folder.exists():
        script = _SCRIPTS / "make_hf_weights.py"
        subprocess.run([installed().python, script, folder, real_models.qwen()], check=True)
    return folder


@contextmanager
def running(log: Path, wanted: Plan) -> Iterator[str]:
    """The address of a vLLM that runs without Stoker and without a key."""
    port = any_free()
    launch = engines.get("vllm").launch(
        wanted, port=port, key="", options=Options(python=installed().python)
    )
    assert isinstance(launch, ProcessLaunch)
    env = {**os.environ, **launch.env, "HF_HUB_OFFLINE": "1"}
    env.pop("VLLM_API_KEY")
    argv = [part for part in launch.argv if part not in ("--middleware", KEY_GUARD)]
    with log.open("wb") as out:
        process = psutil.Popen(argv, env=env, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + _START_S
        while "startup complete" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        family = process.children(recursive=True)
        process.terminate()
        process.wait(timeout=60)
        psutil.wait_procs(family, timeout=10)


def plan(
    model: Path | None = None, served_name: str = "smollm2", **arguments: str | int | bool
) -> Plan:
    """A plan that starts quickly, by default with SmolLM2.

    ``arguments`` are vLLM's flags, with ``_`` for ``-``.
    """
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
            served_name=served_name,
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
