"""Reading an editor's settings and versions changes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stoker import vscode
from stoker.vscode import Editor, Look, Versions


def command(folder: Path, script: str) -> Editor:
    path = folder / "code"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Editor("VS Code", path, folder / "User/settings.json")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        ("1.106.2\n4a1b2c3\nx64", "1.106.2"),
        ("4.139.1 53c2f3253bcf32886706fc023e794bbeb253c90f with Code 1.139.1", "1.139.1"),
        ("something else", None),
    ],
)
def test_the_version_of_vs_code_is_read_from_what_each_editor_prints(
    tmp_path: Path, wanted: str, version: str | None
) -> None:
    found = vscode.versions(command(tmp_path, f"echo '{wanted}'"), within_s=5)
    assert found.vscode == version


def test_the_extension_is_found_among_others(tmp_path: Path) -> None:
    listing = "ms-python.python@2026.1.0\nstoker.stoker@0.1.0\nstoker.stoker-theme@9.0.0"
    found = vscode.versions(command(tmp_path, f"printf '%b' '{listing}'"), within_s=5)
    assert found == Versions(None, listed=True, extension="0.1.0")


@pytest.mark.parametrize("script", ["exit 1", "exec sleep 30"])
def test_an_editor_that_fails_or_hangs_reports_nothing_and_delays_nothing(
    tmp_path: Path, script: str
) -> None:
    began = time.monotonic()
    assert vscode.versions(command(tmp_path, script), within_s=0.3) == Versions()
    assert time.monotonic() - began < 15


def test_a_command_that_is_gone_reports_nothing(tmp_path: Path) -> None:
    gone = Editor("VS Code", tmp_path / "code", tmp_path / "settings.json")
    assert vscode.versions(gone, within_s=1) == Versions()


def test_a_workspace_wins_over_the_machine_and_the_machine_over_the_user(
    home: Path, tmp_path: Path
) -> None:
    there = command(tmp_path, "")
    write(there.settings, '{"a": "user", "b": "user", "c": "user"}')
    write(tmp_path / "Machine/settings.json", '{"a": "machine", "b": "machine"} // remote')
    write(tmp_path / "project/.vscode/settings.json", '{"a": "workspace",}')
    (tmp_path / "project/src/deep").mkdir(parents=True)
    files = vscode.read_settings(there, tmp_path / "project/src/deep")
    assert [file.scope for file in files] == ["user", "remote", "workspace"]
    look = Look(there, Versions(), files)
    for key in ("a", "b", "c"):
        value, file = look.effective(key) or pytest.fail("it is set")
        assert value == {"a": "workspace", "b": "machine", "c": "user"}[key]
        assert file.values[key] == value
    assert (look.hidden("a") or ("",))[0] == "machine"
    assert look.hidden("c") is None
    assert look.effective("d") is None


def test_the_home_folders_own_vscode_folder_is_no_workspace(home: Path, tmp_path: Path) -> None:
    write(home / ".vscode/settings.json", '{"a": 1}')
    (home / "project").mkdir()
    assert vscode.read_settings(command(tmp_path, ""), home / "project") == ()


def test_a_remote_window_has_the_machines_settings_and_no_users(home: Path, tmp_path: Path) -> None:
    settings = write(tmp_path / "data/Machine/settings.json", "{}")
    there = Editor("VS Code (remote)", tmp_path / "code", settings)
    assert [file.scope for file in vscode.read_settings(there, home)] == ["remote"]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [(b'{"a": ', "line 1"), (b"[1]", "expected '{'"), (b"{\xff}", "UTF-8"), (b'{"a": tru}', "")],
)
def test_settings_that_cannot_be_read_give_the_reason(
    home: Path, tmp_path: Path, content: bytes, wanted: str
) -> None:
    there = command(tmp_path, "")
    there.settings.parent.mkdir()
    there.settings.write_bytes(content)
    (file,) = vscode.read_settings(there, home)
    assert file.values == {}
    assert file.problem is not None
    assert wanted in file.problem


def test_what_ships_states_its_version_and_what_it_needs() -> None:
    shipped = vscode.shipped()
    assert shipped.version.count(".") == 2
    assert shipped.least_vscode == "1.106.0"
