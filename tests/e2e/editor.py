"""A real VS Code (code-server with its built-in Copilot Chat) and a browser that drives it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support import real_models

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "artifacts" / "vscode"
MEASURED = ARTIFACTS / "measured.txt"
#: The extension that users install by hand.
VSIX = ROOT / "src/stoker/vscode/stoker.vsix"

#: Settings that keep the window quiet during a test. None of them affects whether chat works:
#: ``stoker code`` writes those, as for every user.
QUIET_SETTINGS: dict[str, object] = {
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "telemetry.telemetryLevel": "off",
    "extensions.ignoreRecommendations": True,
    "update.mode": "none",
    "workbench.reduceMotion": "on",
    "remote.autoForwardPorts": False,
}
#: The endpoint until a test sets its own. Nothing answers there.
NO_ENDPOINT = "http://127.0.0.1:9"


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, true: Callable[[], Any], timeout_s: float = 60) -> Any:
    """The first true value of ``true()``, which is called ten times a second."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = true()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {timeout_s} s")


def measured(what: str, value: str) -> None:
    """Record a time beside the screenshots. It is not asserted: the machine may be busy."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    with MEASURED.open("a") as kept:
        kept.write(f"{what}: {value}\n")


def stop(process: subprocess.Popen[Any]) -> None:
    """Ends a process that leads its own session, and its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


class Person:
    """A new user of this machine: an empty home, and two commands on PATH.

    Only the models that were downloaded before are in place.
    """

    def __init__(self, installed: Path, folder: Path) -> None:
        self.home = folder / "home"
        self.workspace = folder / "workspace"
        self.settings_file = self.home / ".local/share/code-server/User/settings.json"
        self._folder = folder
        for each in (self.home, self.workspace, folder / "bin", folder / "stoker"):
            each.mkdir(parents=True)
        real_models.share_cache(folder / "stoker/cache")
        script = installed / "code-server/node_modules/code-server/out/node/entry.js"
        self._command("code-server", f'"{installed}/bin/node" "{script}"')
        self._command("stoker", f'"{sys.executable}" -m stoker')
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("XDG_")},
            "HOME": str(self.home),
            "STOKER_HOME": str(folder / "stoker"),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HF_HUB_OFFLINE": "1",
        }

    def runs(self, *command: str, timeout_s: float = 300) -> str:
        """The output of a command, which must succeed."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.workspace,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def is_offline(self) -> None:
        """Has no network, and downloaded nothing before: the bundled model is all there is."""
        for link in (self._folder / "stoker/cache").iterdir():
            link.unlink()
        nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
        self.environment |= {**nowhere, "PIP_RETRIES": "0"}

    def likes_it_quiet(self) -> None:
        """Writes settings that have nothing to do with Stoker."""
        self.settings_file.parent.mkdir(parents=True)
        self.settings_file.write_text(json.dumps(QUIET_SETTINGS, indent=2))

    def _command(self, name: str, runs: str) -> None:
        file = self._folder / "bin" / name
        file.write_text(f'#!/bin/sh\nexec {runs} "$@"\n')
        file.chmod(0o755)


class CodeServer:
    """The code-server of a ``Person``."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.workspace = person.workspace
        self.port = free_port()
        self._process: subprocess.Popen[Any] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/?folder={self.workspace}"

    def start(self) -> None:
        quiet = ["--disable-telemetry", "--disable-update-check"]
        where = ["--auth", "none", "--bind-addr", f"127.0.0.1:{self.port}", str(self.workspace)]
        with (self.person.home / "server.log").open("w") as log:
            self._process = subprocess.Popen(
                ["code-server", *quiet, *where],
                executable=shutil.which("code-server", path=self.person.environment["PATH"]),
                env=self.person.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for("code-server listens", self._listens)

    def log(self) -> str:
        """The extension's log of all windows so far."""
        data = self.person.settings_file.parents[1]
        files = sorted(data.glob("logs/*/exthost*/stoker.stoker/*.log"))
        return "".join(file.read_text() for file in files)

    def stop(self) -> None:
        if self._process:
            stop(self._process)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def answer_of(
    script: subprocess.Popen[str], command: str, options: Mapping[str, object]
) -> dict[str, Any]:
    """What a script that drives a browser answers to one of its commands."""
    assert script.stdin and script.stdout
    script.stdin.write(json.dumps({"do": command, **options}) + "\n")
    script.stdin.flush()
    line = script.stdout.readline()
    assert line, f"the browser ended during {command}"
    answer: dict[str, Any] = json.loads(line)
    return answer


class Browser:
    """Chromium, through a Node script that drives it with playwright-core."""

    def __init__(self, installed: Path) -> None:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("drive.mjs")
        playwright = ROOT / "extension/node_modules/playwright-core"
        self._process = subprocess.Popen(
            [str(installed / "bin/node"), str(script), str(playwright), str(ARTIFACTS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def do(self, command: str, /, **options: object) -> Any:
        """Runs one of the script's commands. Fails with the browser's error."""
        answer = answer_of(self._process, command, options)
        if not answer["ok"]:
            answer_of(self._process, "screenshot", {"name": "failed"})
        assert answer["ok"], f"{command} {options}: {answer['error']}"
        return answer.get("value")

    def stop(self) -> None:
        stop(self._process)
