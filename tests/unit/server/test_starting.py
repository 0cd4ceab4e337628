"""What the supervisor makes of what an engine says while it starts."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import pytest

from stoker.engines import ProcessLaunch, llama_cpp
from stoker.models import Model
from stoker.planning import MemoryPrediction, Plan
from stoker.server import deployment_state, log_lines, ports, server
from stoker.server.deployment_state import Deployment, Problem

#: A bar as tqdm draws it, for twice the limit; then it ends, and has never answered.
BAR = """
import sys, time
for done in range(60):
    sys.stderr.write(f"\\rwarmup: {done}%")
    sys.stderr.flush()
    time.sleep(0.1)
sys.exit(3)
"""
#: As vLLM 0.9 logs a request.
REQUEST = """
print("INFO 04-02 12:05:00 [logger.py:39] Received request chatcmpl-5e3: prompt: 'my \\\\n secret',"
      " params: SamplingParams(n=1), prompt_token_ids: [4711], lora_request: None.")
print("INFO 04-02 12:05:00 [engine.py:310] Added request chatcmpl-5e3.")
"""
SILENCE = "import time; time.sleep(60)"
LIMIT_S = 3.0


@pytest.fixture(autouse=True)
def small_limit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALLED_S", LIMIT_S)
    monkeypatch.setattr(log_lines, "PROGRESS_EVERY_S", LIMIT_S / 5)


def start(script: str, monkeypatch: pytest.MonkeyPatch) -> Problem:
    """What the supervisor makes of an engine that is this script."""
    process = ProcessLaunch((sys.executable, "-c", script))
    monkeypatch.setattr(llama_cpp, "launch", lambda *_, **__: process)
    model = Model("coder", "gguf", "disk", "coder")
    plan = Plan(model, "llama.cpp", 8192, 1, (), MemoryPrediction(0, 0, 0, 0))
    deployment_state.state_folder()
    deployment = Deployment(plan, "127.0.0.1", ports.any_free())
    assert asyncio.run(server.Supervisor(deployment).run()) == 1
    ended = deployment_state.read()
    assert ended is not None and ended.problem is not None
    return ended.problem


def test_progress_on_one_line_is_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = start(BAR, monkeypatch)
    assert "hangs" not in problem.what
    assert "exit code 3" in problem.why


def test_silence_beyond_the_limit_is_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(SILENCE, monkeypatch).what == "The engine hangs."


def test_what_people_asked_the_engine_does_not_reach_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("stoker"), "propagate", True)
    with caplog.at_level(logging.INFO, "stoker"):
        start(REQUEST, monkeypatch)
    assert "Received request chatcmpl-5e3: prompt: (left out)" in caplog.text
    assert "Added request chatcmpl-5e3" in caplog.text
    assert "secret" not in caplog.text
    assert "4711" not in caplog.text
