"""The agents of other projects: how each runs one task alone, without the internet."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.model_of_clients import ASK, TASK

#: Far more than a run takes; it ends one that hangs.
_RUN_S = 300
#: What every program understands that asks for no reports.
_QUIET = {"DO_NOT_TRACK": "1", "NO_COLOR": "1", "TERM": "dumb"}


@dataclass(frozen=True)
class Agent:
    """An agent, and its command for a task in the folder that it starts in."""

    #: Its name to ``stoker connect``.
    name: str
    #: The API that it must use.
    path: str
    command: tuple[str, ...]
    #: Its switches against reports, updates and downloads, and what chooses an API that ``stoker
    #: connect`` does not. ``{endpoint}`` stands for the address.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: What it asks of the internet though every switch is off.
    asks: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """Its name and its API, for a folder."""
        return f"{self.name}-{self.path.split('/')[2]}"


def _copilot(path: str, **chosen: str) -> Agent:
    """Copilot CLI on the API that ``COPILOT_PROVIDER_`` variables choose."""
    api = {f"COPILOT_PROVIDER_{name}": value for name, value in chosen.items()}
    command = ("copilot", "-p", ASK, "--allow-all-tools", "--no-color")
    return Agent("copilot-cli", path, command, {"COPILOT_AUTO_UPDATE": "false", **api})


AGENTS = (
    Agent(
        "codex",
        "/v1/responses",
        (
            "codex",
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            *("-c", "analytics.enabled=false"),
            *("-c", "feedback.enabled=false"),
            *("-c", "check_for_update_on_startup=false"),
            *("-c", "otel.metrics_exporter='none'"),
            *("-c", "features.apps=false"),
            *("-c", "features.plugins=false"),
            ASK,
        ),
    ),
    Agent(
        "claude-code",
        "/v1/messages",
        ("claude", "-p", ASK, "--dangerously-skip-permissions"),
        {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_TELEMETRY": "1",
            "IS_SANDBOX": "1",  # as root it skips permissions only in a sandbox
        },
    ),
    _copilot("/v1/chat/completions"),
    _copilot("/v1/responses", WIRE_API="responses"),
    _copilot("/v1/messages", TYPE="anthropic", BASE_URL="{endpoint}"),
    Agent(
        "opencode",
        "/v1/chat/completions",
        ("opencode", "run", "--auto", "--pure", ASK),
        {
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_SHARE": "1",
        },
        # The package for people's own plugins. It works without.
        frozenset({"CONNECT registry.npmjs.org:443"}),
    ),
    Agent(
        "aider",
        "/v1/chat/completions",
        (
            "aider",
            *("--message", ASK, "--read", "task.txt", "--yes-always", "--no-git"),
            *("--no-analytics", "--no-check-update", "--no-show-release-notes"),
            *("--no-show-model-warnings", "--no-pretty", "hello.txt"),
        ),
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    ),
)


@dataclass(frozen=True)
class Run:
    """What became of one agent's task."""

    agent: Agent
    printed: str
    status: int
    #: The line that the task asks for, and the text of the file that it should be in.
    line: str
    written: str
    #: What it asked of hosts outside this machine, beyond what is known of it.
    outside: frozenset[str]


def run(agent: Agent, endpoint: str, folder: Path, programs: tuple[Path, ...], name: str) -> Run:
    """Connect ``agent`` to ``endpoint`` in a home of its own, and let it do the task."""
    workspace, home = folder / "workspace", folder / "home"
    for each in (workspace, home):
        each.mkdir(parents=True)
    line = f"hello from {name}"
    (workspace / "task.txt").write_text(TASK.format(line=line) + "\n")
    path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    clean = {"HOME": str(home), "PATH": path, **_QUIET}
    with _internet() as (proxy, outside):
        ways_out = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), proxy)
        stay = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        own = {k: value.format(endpoint=endpoint) for k, value in agent.environment.items()}
        env = {**clean, **ways_out, **stay, **_connect(agent, endpoint, clean), **own}
        status, printed = _finished(agent.command, workspace, env)
    written = workspace / "hello.txt"
    text = written.read_text() if written.exists() else ""
    return Run(agent, printed, status, line, text, frozenset(outside) - agent.asks)


def _connect(agent: Agent, endpoint: str, clean: Mapping[str, str]) -> dict[str, str]:
    """Write the agent's settings with ``stoker connect``; return the variables that it asks for."""
    done = subprocess.run(
        [sys.executable, "-m", "stoker", "connect", agent.name, "--endpoint", endpoint, "--json"],
        env={**clean, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    variables: dict[str, str] = json.loads(done.stdout)["variables"]
    return variables


def _finished(command: tuple[str, ...], workspace: Path, env: Mapping[str, str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command,
            cwd=workspace,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_RUN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as slow:
        return -1, f"not done after {_RUN_S} s: {(slow.output or b'')[-2000:]!r}"
    return done.returncode, done.stdout.decode(errors="replace")


class _Refusal(socketserver.StreamRequestHandler):
    """Answers a proxy's client that there is no way out, and notes where it wanted to go."""

    def handle(self) -> None:
        line = self.rfile.readline(4096).decode(errors="replace").split()
        noted: Callable[[Any], None] = self.server.noted  # type: ignore[attr-defined]
        noted(" ".join(line[:2]))
        self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


@contextmanager
def _internet() -> Iterator[tuple[str, list[str]]]:
    """A proxy that lets nothing through, and the list of what was asked of it."""
    asked: list[str] = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Refusal) as server:
        server.daemon_threads = True
        server.noted = asked.append  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
