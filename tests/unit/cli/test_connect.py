"""``stoker connect``: what it lists, shows, writes, undoes and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.reference_server import KEY, MODEL, WINDOW, ReferenceServer
from tests.unit.cli.conftest import Run, write_deployment

from stoker import paths


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with ReferenceServer() as server:
        yield server.url


@pytest.fixture
def at(endpoint: str) -> tuple[str, ...]:
    """The options that name the endpoint and its key."""
    return ("--endpoint", endpoint, "--key-env", "TEAM_KEY")


@pytest.fixture
def connect(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TEAM_KEY", KEY)
    return partial(run, "connect")


def test_a_client_is_connected_listed_and_disconnected(
    connect: Run, endpoint: str, at: tuple[str, ...], home: Path
) -> None:
    settings = home / ".codex/config.toml"
    settings.parent.mkdir()
    settings.write_text("# mine\n")
    done = connect("codex", *at, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert (answer["model"], answer["max_model_len"]) == (MODEL, WINDOW)
    assert answer["installed"] is True
    assert f"model_context_window = {WINDOW}" in settings.read_text()
    assert Path(answer["files"][0]["backup"]).read_text() == "# mine\n"
    rows = {row["client"]: row for row in json.loads(connect("--json").stdout)["clients"]}
    assert rows["codex"] == {
        "client": "codex",
        "title": "Codex",
        "installed": True,
        "endpoint": endpoint,
    }
    assert rows["vscode"]["endpoint"] is None
    assert len(rows) == 16
    removed = connect("codex", "--remove")
    assert removed.returncode == 0
    assert settings.read_text() == "# mine\n"


def test_print_shows_the_file_and_writes_nothing(
    connect: Run, at: tuple[str, ...], home: Path
) -> None:
    shown = connect(
        "aider", *at[2:], "--print", "--endpoint", at[1].removeprefix("http://") + "/v1/"
    )
    assert shown.returncode == 0, shown.stderr
    assert f"To {home / '.aider.conf.yml'}:\n\nmodel: openai/{MODEL}\n" in shown.stdout
    assert "OPENAI_BASE_URL" in shown.stdout
    assert not list(home.glob(".aider*"))


def test_a_client_of_variables_only_gets_lines_for_the_shell(
    connect: Run, endpoint: str, at: tuple[str, ...]
) -> None:
    output = connect("copilot-cli", *at)
    assert output.returncode == 0, output.stderr
    assert f"export COPILOT_PROVIDER_BASE_URL='{endpoint}/v1'" in output.stdout
    assert 'export COPILOT_PROVIDER_API_KEY="$TEAM_KEY"' in output.stdout
    assert KEY not in output.stdout


def test_wrong_use_ends_with_2_and_a_failure_with_1(
    connect: Run, at: tuple[str, ...], home: Path
) -> None:
    unknown = connect("emacs", *at, "--json")
    assert unknown.returncode == 2
    assert "claude-code" in json.loads(unknown.stdout)["error"]["fix"]
    assert connect("codex").returncode == 2  # nothing runs here
    assert connect("codex", *at, "--model", "other").returncode == 2
    assert connect("vscode", *at).returncode == 2
    (home / ".codex").mkdir()
    (home / ".codex/config.toml").write_text("a = = 1\n")
    broken = connect("codex", *at)
    assert broken.returncode == 1
    assert "line 1" in broken.stderr
    nothing = connect("codex", "--remove")
    assert (nothing.returncode, "nothing to undo" in nothing.stdout) == (0, True)


def test_a_gateway_here_that_needs_a_key_is_not_connected_without_one(
    connect: Run, endpoint: str, home: Path
) -> None:
    write_deployment(int(endpoint.rpartition(":")[2]))
    (paths.state_dir() / "own.key").write_text(KEY)
    refused = connect("codex")
    assert refused.returncode == 1
    assert "--key-env NAME" in refused.stderr
    assert not (home / ".codex").exists()
    assert connect("codex", "--key-env", "TEAM_KEY").returncode == 0
    assert 'env_key = "TEAM_KEY"' in (home / ".codex/config.toml").read_text()


def test_vscode_runs_the_code_of_stoker_code(
    connect: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = home / "bin/codium"
    editor.parent.mkdir()
    editor.write_text("#!/bin/sh\nexit 0\n")
    editor.chmod(0o755)
    monkeypatch.setenv("PATH", f"{editor.parent}:/bin")
    endpoint = "http://127.0.0.1:8000"
    settings = home / ".config/VSCodium/User/settings.json"
    shown = connect("vscode", "--endpoint", endpoint, "--print")
    assert str(settings) in shown.stdout
    assert not settings.exists()
    assert connect("vscode", "--endpoint", endpoint).returncode == 0
    assert json.loads(settings.read_text()) == {"huggingface.customTGIEndpoint": endpoint}
    assert connect("vscode", "--remove").returncode == 0
    assert not settings.exists()
