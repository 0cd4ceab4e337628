"""Editors are found where people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoker import editor


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "VSCODE_IPC_HOOK_CLI"):
        monkeypatch.delenv(name, raising=False)
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
    (found,) = editor.find_editors()
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
    (found,) = editor.find_editors()
    assert found.settings == Path.home() / ".vscode-server/data/Machine/settings.json"


def test_macos_bundles_are_found_without_path(
    on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    bundle = Path.home() / "Applications/VSCodium.app/Contents/Resources/app/bin"
    _command(bundle, "codium")
    (found,) = editor.find_editors()
    assert found.name == "VSCodium"
    assert found.settings == Path.home() / "Library/Application Support/VSCodium/User/settings.json"


def test_no_editor_is_no_error(on_path: Path) -> None:
    assert editor.find_editors() == ()
