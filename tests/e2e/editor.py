"""A real VS Code (code-server with its built-in Copilot Chat) and a browser that drives it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "artifacts" / "vscode"
MEASURED = ARTIFACTS / "measured.txt"
VSIX = ROOT / "src/stoker/editor/stoker.vsix"

#: What lets chat run with no account; the rest keeps the window quiet while it is watched.
QUIET_SETTINGS: dict[str, object] = {
    "chat.allowAnonymousAccess": True,
    "chat.byokUtilityModelDefault": "mainAgent",
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "telemetry.telemetryLevel": "off",
    "extensions.ignoreRecommendations": True,
    "update.mode": "none",
    "workbench.reduceMotion": "on",
    "remote.autoForwardPorts": False,
}


def free_port() -> int:
    """A port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, true: Callable[[], Any], timeout_s: float = 60) -> Any:
    """The first true value of ``true()``; it is asked ten times a second."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = true()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {timeout_s} s")


def measured(what: str, value: str) -> None:
    """Keep a time beside the pictures; a busy machine must not turn it into a failure."""
    with MEASURED.open("a") as kept:
        kept.write(f"{what}: {value}\n")


def stop(process: subprocess.Popen[Any]) -> None:
    """Ends a process and its children, which run in a session of their own."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


class CodeServer:
    """code-server with Stoker's extension installed from the VSIX that ships."""

    def __init__(self, installed: Path, folder: Path) -> None:
        self.installed = installed
        self.user_data = folder / "user-data"
        self.extensions = folder / "extensions"
        self.workspace = folder / "workspace"
        self.settings_file = self.user_data / "User/settings.json"
        self.port = free_port()
        self._process: subprocess.Popen[Any] | None = None
        self.settings_file.parent.mkdir(parents=True)
        self.workspace.mkdir()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/?folder={self.workspace}"

    def command(self, *arguments: str) -> list[str]:
        node = self.installed / "bin/node"
        script = self.installed / "code-server/node_modules/code-server/out/node/entry.js"
        folders = ["--user-data-dir", str(self.user_data), "--extensions-dir", str(self.extensions)]
        return [str(node), str(script), *folders, *arguments]

    def start(self, settings: dict[str, object]) -> None:
        self.settings(settings)
        subprocess.run(self.command("--install-extension", str(VSIX)), check=True, timeout=120)
        quiet = ["--disable-telemetry", "--disable-update-check", "--disable-workspace-trust"]
        where = ["--auth", "none", "--bind-addr", f"127.0.0.1:{self.port}", str(self.workspace)]
        with (self.user_data / "server.log").open("w") as log:
            self._process = subprocess.Popen(
                self.command(*quiet, *where),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for("code-server listens", self._listens)

    def settings(self, settings: dict[str, object]) -> None:
        """Writes the user's settings; a running window takes them over at once."""
        self.settings_file.write_text(json.dumps({**QUIET_SETTINGS, **settings}, indent=2))

    def log(self) -> str:
        """The extension's own log, of all windows so far."""
        files = sorted(self.user_data.glob("logs/*/exthost*/stoker.stoker/*.log"))
        return "".join(file.read_text() for file in files)

    def stop(self) -> None:
        if self._process:
            stop(self._process)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Browser:
    """Chromium, through a Node script that drives it with playwright-core."""

    def __init__(self, installed: Path) -> None:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        MEASURED.unlink(missing_ok=True)
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
        """Runs one of the script's commands; fails with what the browser said."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": command, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the browser ended during {command}"
        answer = json.loads(line)
        if not answer["ok"]:
            self._process.stdin.write(json.dumps({"do": "screenshot", "name": "failed"}) + "\n")
            self._process.stdin.flush()
            self._process.stdout.readline()
        assert answer["ok"], f"{command} {options}: {answer['error']}"
        return answer.get("value")

    def stop(self) -> None:
        stop(self._process)
