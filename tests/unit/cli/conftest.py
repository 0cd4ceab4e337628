"""A command that runs in the test's own process: one of its own loads Stoker again each time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stoker.cli import main
from stoker.models import Model
from stoker.planning import MemoryPrediction, Plan
from stoker.server import deployment_state
from stoker.server.deployment_state import Deployment, LaunchSpec, LiveState
from stoker.server.processes import ProcessId

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("connect", "codex")`` in an empty home, without a terminal."""
    monkeypatch.chdir(home)

    def stoker(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["stoker", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        printed, code = capsys.readouterr(), end.value.code or 0
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, printed.out, printed.err)

    return stoker


def write_deployment(port: int) -> None:
    """A deployment on this port, whose supervisor this process stands for."""
    model = Model("coder", "gguf", "disk", "coder")
    plan = Plan(model, "llama.cpp", 8192, 1, (), MemoryPrediction(0, 0, 0, 0))
    supervisor = ProcessId(os.getpid(), psutil.Process().create_time())
    deployment_state.state_folder()
    state = LiveState("ready", supervisor)
    deployment_state.write(Deployment(LaunchSpec(plan, "127.0.0.1", port), state))
