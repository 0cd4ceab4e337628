"""Editors are found wherever they are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stoker import vscode


@pytest.fixture
def on_path(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    return folder


def _command(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("command", "name", "settings"),
    [
        ("code", "VS Code", ".config/Code/User/settings.json"),
        ("code-insiders", "VS Code Insiders", ".config/Code - Insiders/User/settings.json"),
        ("codium", "VSCodium", ".config/VSCodium/User/settings.json"),
        ("cursor", "Cursor", ".config/Cursor/User/settings.json"),
        ("code-server", "code-server", ".local/share/code-server/User/settings.json"),
    ],
)
def test_each_editor_is_found_with_its_settings(
    on_path: Path, command: str, name: str, settings: str
) -> None:
    _command(on_path, command)
    (found,) = vscode.find_editors()
    assert found.name == name
    assert found.settings == Path.home() / settings


def test_a_remote_window_is_the_only_editor_of_its_terminal(
    on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = on_path / "remote-cli"
    _command(remote, "code")
    _command(on_path, "codium")
    monkeypatch.setenv("PATH", f"{remote}:{on_path}")
    monkeypatch.setenv("VSCODE_IPC_HOOK_CLI", "/tmp/x.sock")
    (found,) = vscode.find_editors()
    assert found.settings == Path.home() / ".vscode-server/data/Machine/settings.json"


def test_macos_bundles_are_found_without_path(
    on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    bundle = Path.home() / "Applications/VSCodium.app/Contents/Resources/app/bin"
    _command(bundle, "codium")
    (found,) = vscode.find_editors()
    assert found.name == "VSCodium"
    assert found.settings == Path.home() / "Library/Application Support/VSCodium/User/settings.json"


@pytest.mark.parametrize(
    "place",
    [
        ".local/lib/code-server-4.139.1/bin/code-server",
        ".npm-global/bin/code-server",
        ".local/bin/codium",
        ".local/share/flatpak/exports/bin/com.visualstudio.code",
    ],
)
def test_an_editor_is_found_where_its_installer_puts_it(on_path: Path, place: str) -> None:
    command = Path.home() / place
    _command(command.parent, command.name)
    (found,) = vscode.find_editors()
    assert found.command == command
    # A Flatpak has its own home folder.
    assert (".var/app" in str(found.settings)) is ("flatpak" in place)


def test_of_two_code_servers_the_newer_is_taken(on_path: Path) -> None:
    for version in ("4.99.0", "4.139.1"):
        _command(Path.home() / f".local/lib/code-server-{version}/bin", "code-server")
    (found,) = vscode.find_editors()
    assert "4.139.1" in str(found.command)


def test_a_code_server_that_runs_is_spoken_to_with_its_own_folders(
    on_path: Path, tmp_path: Path
) -> None:
    script = tmp_path / "code-server/out/node/entry.js"
    script.parent.mkdir(parents=True)
    script.write_text("import time; time.sleep(60)")
    folders = ("--user-data-dir", str(tmp_path / "data"), f"--extensions-dir={tmp_path}/ext")
    # Python stands in for Node: only the command line is read.
    with subprocess.Popen([sys.executable, str(script), *folders, "--auth", "none"]) as server:
        try:
            (found,) = vscode.find_editors()
        finally:
            server.kill()
    assert found.name == "code-server"
    assert found.settings == tmp_path / "data/User/settings.json"
    named = ("--user-data-dir", str(tmp_path / "data"), "--extensions-dir", f"{tmp_path}/ext")
    assert found.command_line[1:] == (str(script), *named)


def test_a_code_server_of_another_home_is_not_this_persons(on_path: Path, tmp_path: Path) -> None:
    script = tmp_path / "code-server/entry.js"
    script.parent.mkdir()
    script.write_text("import time; time.sleep(60)")
    env = {**os.environ, "HOME": "/elsewhere"}
    with subprocess.Popen([sys.executable, str(script)], env=env) as server:
        try:
            assert vscode.find_editors() == ()
        finally:
            server.kill()


def test_no_editor_is_no_error(on_path: Path) -> None:
    assert vscode.find_editors() == ()
