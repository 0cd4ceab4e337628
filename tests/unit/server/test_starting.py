"""How the server reads the log of an engine that starts."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from tests.unit.server.scripted_engine import PLAN, SLEEPS, ScriptedEngine

from stoker.errors import Problem
from stoker.server import deployment_state, ports
from stoker.server.deployment_state import LaunchSpec
from stoker.server.server import Server
from stoker.server.timeouts import Timeouts

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
LIMIT_S = 3.0


@pytest.fixture(autouse=True)
def _own_home(home: Path) -> None:
    deployment_state.state_folder()


def start(script: str) -> Problem:
    """What the server records of an engine that is this script."""
    spec = LaunchSpec(PLAN, "127.0.0.1", ports.any_free())
    engine = ScriptedEngine((script,), progress_every_s=LIMIT_S / 5)
    asyncio.run(Server(spec, engine, Timeouts(stalled_s=LIMIT_S, grace_s=0.5)).run())
    ended = deployment_state.read()
    assert ended is not None and ended.state.problem is not None
    return ended.state.problem


def test_progress_on_one_line_is_progress() -> None:
    problem = start(BAR)
    assert "hangs" not in problem.what
    assert "exit code 3" in problem.why


def test_silence_beyond_the_limit_is_a_hang() -> None:
    assert start(SLEEPS).what == "The engine hangs."


def test_what_users_asked_the_engine_does_not_reach_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("stoker"), "propagate", True)
    with caplog.at_level(logging.INFO, "stoker"):
        start(REQUEST)
    assert "Received request chatcmpl-5e3: prompt: (left out)" in caplog.text
    assert "Added request chatcmpl-5e3" in caplog.text
    assert "secret" not in caplog.text
    assert "4711" not in caplog.text
