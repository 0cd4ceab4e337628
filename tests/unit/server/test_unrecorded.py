"""A supervisor whose state file is damaged or gone is still found, and no other process is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stoker import server
from stoker.errors import StokerError
from stoker.server import deployment_state

#: Holds the lock as a supervisor does, and ends when it is told to.
HOLDS = """
import sys, time
from stoker.server import supervisor_lock
with supervisor_lock.lock("supervisor"):
    print("holds", flush=True)
    time.sleep(60)
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDS, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "holds\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("content", ["{}", "not json", None])
def test_supervisor_is_stopped_although_its_state_can_not_be_read(
    start: Start, content: str | None
) -> None:
    supervisor = start("stoker.server.server")
    if content is not None:
        (deployment_state.state_folder() / "deployment.json").write_text(content)
    with pytest.raises(StokerError, match=f"process {supervisor.pid};.*stoker down") as raised:
        server.require_recorded()
    assert raised.value.exit_code == 1
    assert server.stop()
    assert supervisor.wait(5) != 0
    assert not (deployment_state.state_folder() / "deployment.json").exists()
    assert not server.stop()
    server.require_recorded()


def test_another_deployment_is_not_started_over_it(start: Start) -> None:
    start("stoker.server.server")
    with pytest.raises(StokerError, match="but Stoker can't read its state"):
        server.check_can_start("127.0.0.1", 0)


def test_stranger_that_holds_the_lock_is_never_signalled(start: Start) -> None:
    stranger = start()
    with pytest.raises(StokerError, match=r"stoker\.server\.server"):
        server.stop()
    assert stranger.poll() is None


def test_where_nothing_runs_there_is_nothing_to_stop(home: Path) -> None:
    assert not server.stop()
    assert list(home.iterdir()) == []
    (deployment_state.state_folder() / "deployment.json").write_text("{}")
    assert not server.stop()
