"""``stoker doctor`` on a real deployment: whole, broken in each place, and fixed."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Stoker

from stoker.config_files import jsonc
from stoker.vscode import ENDPOINT, UTILITY_MODEL

pytestmark = pytest.mark.engine

UP = ("--context", "1024", "--parallel", "2")
#: The part of an editor's command line that Stoker uses. Tests with real VS Code are in tests/e2e.
CODE = """#!/bin/sh
case "$1" in
  --version) echo 1.139.1 ;;
  --list-extensions) cat "{list}" ;;
  --install-extension) test -f "$2" && echo stoker.stoker@0.1.0 > "{list}" ;;
esac
"""


@pytest.fixture
def code(stoker: Stoker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's settings file of an editor in a separate home, without Stoker in it yet."""
    home = stoker.home / "user"
    programs = home / "bin"
    programs.mkdir(parents=True)
    extensions = home / "extensions.txt"
    extensions.touch()
    (programs / "code").write_text(CODE.format(list=extensions))
    (programs / "code").chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("XDG_CONFIG_HOME", "VSCODE_IPC_HOOK_CLI"):
        monkeypatch.delenv(name, raising=False)
    yield home / ".config/Code/User/settings.json"


def doctor(stoker: Stoker, *arguments: str) -> tuple[int, set[str]]:
    """The exit code, and the ids of the findings."""
    done = stoker.run("doctor", "--json", *arguments)
    links = json.loads(done.stdout)["links"]
    return done.returncode, {finding["id"] for link in links for finding in link["findings"]}


def soon(condition: Callable[[], Any], timeout_s: float = 30.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def ready_again(stoker: Stoker, old_pid: int) -> bool:
    status = stoker.status()
    return bool(status["status"] == "ready" and status["engine_pid"] != old_pid)


def test_a_machine_where_nothing_runs_is_advised_to_start(stoker: Stoker, code: Path) -> None:
    done = stoker.run("doctor")
    assert done.returncode == 1
    assert "Start one that fits this machine: stoker up" in done.stdout
    assert done.stderr == ""
    assert not (stoker.home / "state").exists()


def test_the_whole_chain_and_each_break_in_it(stoker: Stoker, smollm2: str, code: Path) -> None:
    stoker.up(smollm2, *UP)
    rc, found = doctor(stoker)
    assert rc == 1
    assert {"engine.ok", "gateway.ok", "endpoint.ok", "extension.missing"} <= found

    assert stoker.run("code", "--yes").returncode == 0
    rc, found = doctor(stoker)
    assert rc == 0, found
    assert {"setting.ok", "extension.ok", "models.ok", "port.ok", "chat.context-of-model"} <= found

    # A setting that is left from an earlier server.
    right = code.read_text()
    code.write_text(jsonc.put(right, ENDPOINT, "http://127.0.0.1:9"))
    rc, found = doctor(stoker)
    assert rc == 1
    assert "setting.wrong" in found
    assert doctor(stoker, "--fix", "--yes")[0] == 0
    assert jsonc.get(code.read_text(), ENDPOINT) == stoker.endpoint
    assert jsonc.get(code.read_text(), UTILITY_MODEL) == "mainAgent"

    # An extension that was uninstalled.
    (code.parents[3] / "extensions.txt").write_text("")
    rc, found = doctor(stoker)
    assert rc == 1
    assert "extension.missing" in found
    assert doctor(stoker, "--fix", "--yes")[0] == 0


def test_an_engine_that_crashes_is_named_until_it_is_back(
    stoker: Stoker, smollm2: str, code: Path
) -> None:
    stoker.up(smollm2, *UP)
    assert stoker.run("code", "--yes").returncode == 0
    first = stoker.engine()
    first.kill()
    assert soon(lambda: ready_again(stoker, first.pid))
    rc, found = doctor(stoker)
    assert rc == 0
    assert "engine.restarted" in found
    # After a second crash it waits for two seconds, which is long enough to look.
    second = stoker.engine()
    second.kill()
    rc, found = doctor(stoker)
    assert rc == 1
    assert found & {"engine.restarting", "engine.gone"}
    assert soon(lambda: ready_again(stoker, second.pid))
    assert doctor(stoker)[0] == 0


def test_a_deployment_that_was_killed_is_started_again(
    stoker: Stoker, smollm2: str, code: Path
) -> None:
    stoker.up(smollm2, *UP)
    assert stoker.run("code", "--yes").returncode == 0
    before = stoker.status()
    stoker.supervisor().kill()
    assert soon(lambda: not stoker_answers(stoker))
    rc, found = doctor(stoker)
    assert rc == 1
    assert {"engine.killed", "endpoint.refused"} <= found
    done = stoker.run("doctor", "--fix", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The deployment is running again." in done.stdout
    assert stoker.status()["supervisor_pid"] != before["supervisor_pid"]
    assert stoker.status()["model"] == before["model"]


def test_a_port_that_another_program_took_is_not_taken_back(
    stoker: Stoker, smollm2: str, code: Path
) -> None:
    stoker.up(smollm2, *UP)
    stoker.supervisor().kill()
    assert soon(lambda: not stoker_answers(stoker))
    with socket.create_server(("127.0.0.1", stoker.port)):
        rc, found = doctor(stoker)
        assert rc == 1
        assert {"port.stolen", "engine.killed"} <= found
        done = stoker.run("doctor", "--fix", "--yes")
        assert done.returncode == 1
        assert f"(pid {os.getpid()})" in done.stdout
    # The deployment that could not restart is still recorded.
    assert doctor(stoker)[1] >= {"engine.killed", "port.free"}


def test_a_report_of_a_real_deployment_holds_nothing_of_its_owner(
    stoker: Stoker, smollm2: str, code: Path
) -> None:
    stoker.up(smollm2, *UP)
    assert stoker.run("code", "--yes").returncode == 0
    text = stoker.run("doctor", "--report").stdout
    assert "`gateway.ok`" in text
    assert str(stoker.port) in text
    for private in (str(stoker.home), str(Path(smollm2).parent), socket.gethostname()):
        assert private not in text


def stoker_answers(stoker: Stoker) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", stoker.port)) == 0
