"""How `stoker up` follows a supervisor that it has started."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.server.scripted_engine import PLAN

from stoker.errors import StokerError
from stoker.server import deployment_state
from stoker.server.deployment_state import Deployment, LaunchSpec
from stoker.server.lifecycle import follow
from stoker.server.processes import ProcessId


@pytest.fixture(autouse=True)
def _own_home(home: Path) -> None:
    deployment_state.state_folder()


@contextmanager
def supervisor() -> Iterator[tuple[Deployment, subprocess.Popen[bytes]]]:
    """A deployment whose supervisor runs and has recorded nothing yet."""
    wanted = Deployment(LaunchSpec(PLAN, "127.0.0.1", 8080))
    deployment_state.write(wanted)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = ProcessId.of(process.pid)
    try:
        yield replace(wanted, state=replace(wanted.state, supervisor=identity)), process
    finally:
        process.kill()
        process.communicate()


def test_one_that_records_nothing_yet_is_waited_for() -> None:
    with supervisor() as (started, _):
        threading.Timer(0.3, deployment_state.write, [started]).start()
        assert next(follow(started)) == started


def test_one_that_ended_before_it_recorded_anything_is_given_up_at_once() -> None:
    with supervisor() as (started, process):
        process.kill()
        process.wait()
        with pytest.raises(StokerError, match="ended before the engine was ready"):
            next(follow(started))


def test_one_that_ended_after_it_recorded_its_start_is_given_up() -> None:
    with supervisor() as (started, process):
        deployment_state.write(started)
        following = follow(started)
        assert next(following) == started
        process.kill()
        process.wait()
        with pytest.raises(StokerError, match="ended before the engine was ready"):
            next(following)
