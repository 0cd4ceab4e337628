"""``stoker tune`` on the real engine: what it measured holds, and is not measured twice.

How fast anything is depends on what else runs here, so only what follows from it is asserted.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from tests.integration.conftest import Stoker

pytestmark = pytest.mark.engine


def tuned(stoker: Stoker, minutes: str = "0.5") -> dict[str, Any]:
    done = stoker.run("tune", "--minutes", minutes, "--json", timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_model_runs_again_with_what_was_found_and_the_next_run_goes_on(
    stoker: Stoker, quick_smollm2: str
) -> None:
    up = (quick_smollm2, "--context", "1024", "--parallel", "1")
    stoker.up(*up)
    before = stoker.status()
    first = tuned(stoker)
    assert first["trials"]
    assert all(t["gain"] >= 1.03 for t in first["trials"] if t["kept"])
    assert stoker.status()["engine_pid"] != before["engine_pid"]
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    assert stoker.post("/v1/chat/completions", body)["usage"]["completion_tokens"] == 4
    rejected = {t["trial"] for t in first["trials"] if not t["kept"]}
    assert rejected.isdisjoint(t["trial"] for t in tuned(stoker)["trials"])
    stoker.run("down")
    planned = json.loads(stoker.run("up", *up, "--dry-run", "--json", "--offline").stdout)
    arguments = {a["name"]: a["value"] for a in planned["arguments"]}
    assert first["arguments"].items() <= arguments.items() or first["gain"] == 1.0
    assert json.loads(stoker.run("tune", "--forget", "--json").stdout) == {"forgotten": True}


def test_without_a_deployment_there_is_nothing_to_tune(stoker: Stoker) -> None:
    refused = stoker.run("tune")
    assert refused.returncode == 1
    assert "nothing to tune" in refused.stderr
    assert "stoker up" in refused.stderr


def interrupted(stoker: Stoker, ending: signal.Signals) -> dict[str, Any]:
    """What a ``stoker tune`` says that is ended while it measures."""
    tune = subprocess.Popen(
        [sys.executable, "-m", "stoker", "tune", "--minutes", "5", "--json"],
        env={**os.environ, "STOKER_HOME": str(stoker.home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(psutil.Process(tune.pid).children)
    assert stoker.run("tune").returncode == 1  # two would disturb each other
    tune.send_signal(ending)
    out, _ = tune.communicate(timeout=60)
    assert tune.returncode == 0
    output: dict[str, Any] = json.loads(out)
    return output


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGHUP])
def test_where_it_is_ended_the_model_runs_again_as_before(
    stoker: Stoker, quick_smollm2: str, ending: signal.Signals
) -> None:
    stoker.up(quick_smollm2, "--context", "1024", "--engine-arg", "cpuparams.n_threads=1")
    before = stoker.status()["engine_pid"]
    assert interrupted(stoker, ending)["is_partial"]
    assert stoker.status()["status"] == "ready"
    assert stoker.status()["engine_pid"] != before


def test_an_argument_that_the_user_set_is_not_tried(stoker: Stoker, quick_smollm2: str) -> None:
    stoker.up(quick_smollm2, "--context", "1024", "--engine-arg", "cpuparams.n_threads=1")
    trials = tuned(stoker, "0.3")["trials"]
    assert trials
    assert all("n_threads" not in t["trial"] for t in trials)
