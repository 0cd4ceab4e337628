"""``stoker adopt``: what it refuses before it looks at any server."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from stoker.cli import app
from stoker.errors import UsageError
from stoker.models import Model
from stoker.planning import MemoryPrediction, Plan
from stoker.server import deployment_state
from stoker.server.deployment_state import Deployment, LaunchSpec, LiveState
from stoker.server.processes import ProcessId


@pytest.fixture(autouse=True)
def _runs_here(home: Path) -> None:
    """A deployment on port 8123, whose supervisor this process stands for."""
    model = Model("coder", "gguf", "disk", "coder")
    plan = Plan(model, "llama.cpp", 8192, 1, (), MemoryPrediction(0, 0, 0, 0))
    supervisor = ProcessId(os.getpid(), psutil.Process().create_time())
    deployment_state.state_folder()
    state = LiveState("ready", supervisor)
    deployment_state.write(Deployment(LaunchSpec(plan, "127.0.0.1", 8123), state))


@pytest.mark.parametrize("address", ["http://127.0.0.1:8123", "http://localhost:8123/v1/"])
def test_gateway_is_not_put_in_front_of_itself(address: str) -> None:
    """With --replace it would stop the very server that it is to adopt."""
    result = CliRunner().invoke(app, ["adopt", address, "--replace"])
    assert isinstance(result.exception, UsageError)
    assert "Stoker's own gateway" in result.exception.what
    assert "stoker code" in result.exception.fix
    left = deployment_state.read()
    assert left is not None and left.state.alive


def test_another_server_is_looked_at() -> None:
    result = CliRunner().invoke(app, ["adopt", "http://127.0.0.1:9", "--replace"])
    assert "Nothing answers at" in str(result.exception)
