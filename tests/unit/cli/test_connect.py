"""``stoker connect``: what it lists, shows, writes, undoes and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.reference_server import KEY, MODEL, WINDOW, ReferenceServer

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with ReferenceServer() as server:
        yield server.url


@pytest.fixture
def at(endpoint: str) -> tuple[str, ...]:
    """The options that name the endpoint and its key."""
    return ("--endpoint", endpoint, "--key-env", "TEAM_KEY")


@pytest.fixture
def run(home: Path) -> Run:
    def connect(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("VSCODE", "XDG"))}
        return subprocess.run(
            [sys.executable, "-m", "stoker", "connect", *arguments],
            env={**kept, "TEAM_KEY": KEY, **more},
            cwd=home,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )

    return connect


def test_a_client_is_connected_listed_and_disconnected(
    run: Run, endpoint: str, at: tuple[str, ...], home: Path
) -> None:
    settings = home / ".codex/config.toml"
    settings.parent.mkdir()
    settings.write_text("# mine\n")
    done = run("codex", *at, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert (answer["model"], answer["max_model_len"]) == (MODEL, WINDOW)
    assert answer["installed"] is True
    assert f"model_context_window = {WINDOW}" in settings.read_text()
    assert Path(answer["files"][0]["backup"]).read_text() == "# mine\n"
    rows = {row["client"]: row for row in json.loads(run("--json").stdout)["clients"]}
    assert rows["codex"] == {
        "client": "codex",
        "title": "Codex",
        "installed": True,
        "endpoint": endpoint,
    }
    assert rows["vscode"]["endpoint"] is None
    assert len(rows) == 16
    removed = run("codex", "--remove")
    assert removed.returncode == 0
    assert settings.read_text() == "# mine\n"


def test_print_shows_the_file_and_writes_nothing(run: Run, at: tuple[str, ...], home: Path) -> None:
    shown = run("aider", *at[2:], "--print", "--endpoint", at[1].removeprefix("http://") + "/v1/")
    assert shown.returncode == 0, shown.stderr
    assert f"To {home / '.aider.conf.yml'}:\n\nmodel: openai/{MODEL}\n" in shown.stdout
    assert "OPENAI_BASE_URL" in shown.stdout
    assert not list(home.glob(".aider*"))


def test_a_client_of_variables_only_gets_lines_for_the_shell(
    run: Run, endpoint: str, at: tuple[str, ...]
) -> None:
    said = run("copilot-cli", *at)
    assert said.returncode == 0, said.stderr
    assert f"export COPILOT_PROVIDER_BASE_URL='{endpoint}/v1'" in said.stdout
    assert 'export COPILOT_PROVIDER_API_KEY="$TEAM_KEY"' in said.stdout
    assert KEY not in said.stdout


def test_wrong_use_ends_with_2_and_a_failure_with_1(
    run: Run, at: tuple[str, ...], home: Path
) -> None:
    unknown = run("emacs", *at, "--json")
    assert unknown.returncode == 2
    assert "claude-code" in json.loads(unknown.stdout)["error"]["fix"]
    assert run("codex").returncode == 2  # nothing runs here
    assert run("codex", *at, "--model", "other").returncode == 2
    assert run("vscode", *at).returncode == 2
    (home / ".codex").mkdir()
    (home / ".codex/config.toml").write_text("a = = 1\n")
    broken = run("codex", *at)
    assert broken.returncode == 1
    assert "line 1" in broken.stderr
    nothing = run("codex", "--remove")
    assert (nothing.returncode, "nothing to undo" in nothing.stdout) == (0, True)


def test_vscode_runs_the_code_of_stoker_code(run: Run, home: Path) -> None:
    editor = home / "bin/codium"
    editor.parent.mkdir()
    editor.write_text("#!/bin/sh\nexit 0\n")
    editor.chmod(0o755)
    path, endpoint = f"{editor.parent}:/bin", "http://127.0.0.1:8000"
    settings = home / ".config/VSCodium/User/settings.json"
    shown = run("vscode", "--endpoint", endpoint, "--print", PATH=path)
    assert str(settings) in shown.stdout
    assert not settings.exists()
    assert run("vscode", "--endpoint", endpoint, PATH=path).returncode == 0
    assert json.loads(settings.read_text()) == {"huggingface.customTGIEndpoint": endpoint}
    assert run("vscode", "--remove", PATH=path).returncode == 0
    assert not settings.exists()
