"""Connecting changes what it must, and undoing gives everything back."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from stoker import editor
from stoker.editor import jsonc
from stoker.errors import StokerError

OWNERS = '{\n  // mine\n  "editor.fontSize": 14,\n}\n'

#: An editor's command line as far as it is used: it lists, installs and uninstalls extensions.
_COMMAND = """#!/bin/sh
list="{list}"
case "$1" in
  --list-extensions) cat "$list" ;;
  --install-extension) test -f "$2" && echo stoker.stoker >> "$list" ;;
  --uninstall-extension) : > "$list" ;;
esac
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> editor.Editor:
    monkeypatch.setenv("STOKER_HOME", str(tmp_path / "stoker"))
    extensions = tmp_path / "extensions.txt"
    extensions.touch()
    command = tmp_path / "code"
    command.write_text(_COMMAND.format(list=extensions))
    command.chmod(0o755)
    return editor.Editor("VS Code", command, tmp_path / "User/settings.json")


def test_connecting_adds_one_line_and_undoing_restores_every_byte(code: editor.Editor) -> None:
    code.settings.parent.mkdir()
    code.settings.write_text(OWNERS)
    connection = editor.connect(code, "http://localhost:8080")
    text = code.settings.read_text()
    assert jsonc.get(text, editor.ENDPOINT) == "http://localhost:8080"
    assert jsonc.drop(text, editor.ENDPOINT) == OWNERS
    assert connection.backup is not None
    assert Path(connection.backup).read_text() == OWNERS
    (undone,) = editor.disconnect()
    assert code.settings.read_text() == OWNERS
    assert undone.uninstalled
    assert editor.connections() == ()


def test_settings_that_were_not_there_are_gone_again(code: editor.Editor) -> None:
    editor.connect(code, "http://localhost:1", utility_model=True)
    written = json.loads(code.settings.read_text())
    assert written[editor.UTILITY_MODEL] == "mainAgent"
    editor.disconnect()
    assert not code.settings.exists()


def test_undoing_keeps_what_the_owner_changed_since(code: editor.Editor) -> None:
    code.settings.parent.mkdir()
    code.settings.write_text(OWNERS)
    editor.connect(code, "http://localhost:1", utility_model=True)
    mine = jsonc.put(code.settings.read_text(), editor.ENDPOINT, "http://elsewhere")
    code.settings.write_text(mine)
    (undone,) = editor.disconnect()
    assert undone.kept == (editor.ENDPOINT,)
    assert undone.restored == (editor.UTILITY_MODEL,)
    text = code.settings.read_text()
    assert jsonc.get(text, editor.ENDPOINT) == "http://elsewhere"
    assert "// mine" in text


def test_connecting_twice_still_undoes_to_the_first_state(code: editor.Editor) -> None:
    code.settings.parent.mkdir()
    before = jsonc.put(OWNERS, editor.ENDPOINT, "http://old")
    code.settings.write_text(before)
    editor.connect(code, "http://localhost:1")
    editor.connect(code, "http://localhost:2")
    editor.disconnect()
    assert code.settings.read_text() == before


def test_an_extension_that_was_there_before_stays(code: editor.Editor) -> None:
    editor.install(code)
    editor.connect(code, "http://localhost:1")
    (undone,) = editor.disconnect()
    assert not undone.uninstalled


def test_a_folders_own_settings_can_be_written(code: editor.Editor, tmp_path: Path) -> None:
    editor.connect(code, "http://localhost:1", workspace=tmp_path / "project")
    assert not code.settings.exists()
    text = (tmp_path / "project/.vscode/settings.json").read_text()
    assert json.loads(text) == {editor.ENDPOINT: "http://localhost:1"}


def test_broken_settings_are_left_alone_and_nothing_is_installed(code: editor.Editor) -> None:
    code.settings.parent.mkdir()
    code.settings.write_text('{"a": ')
    with pytest.raises(StokerError, match="cannot be edited"):
        editor.connect(code, "http://localhost:1")
    assert code.settings.read_text() == '{"a": '
    assert editor.install(code) is True


def test_a_linked_settings_file_stays_a_link_with_its_mode(
    code: editor.Editor, tmp_path: Path
) -> None:
    dotfile = tmp_path / "dotfiles.json"
    dotfile.write_text("{}")
    dotfile.chmod(0o600)
    code.settings.parent.mkdir()
    code.settings.symlink_to(dotfile)
    editor.connect(code, "http://localhost:1")
    assert code.settings.is_symlink()
    assert editor.ENDPOINT in dotfile.read_text()
    assert stat.S_IMODE(dotfile.stat().st_mode) == 0o600
