"""Connecting changes only what it must, and undoing restores everything."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from pathlib import Path

import pytest

from stoker import vscode
from stoker.config_files import jsonc
from stoker.errors import StokerError

OWNERS = '{\n  // mine\n  "editor.fontSize": 14,\n}\n'

#: The part of an editor's command line that Stoker uses.
_COMMAND = """#!/bin/sh
list="{list}"
case "$1" in
  --list-extensions) cat "$list" ;;
  --install-extension) test -f "$2" && test ! -e "$0.broken" && echo stoker.stoker >> "$list" ;;
  --uninstall-extension) test ! -e "$0.broken" && : > "$list" ;;
esac
"""


def an_editor(folder: Path, name: str) -> vscode.Editor:
    extensions = folder / f"{name}.txt"
    extensions.touch()
    command = folder / name
    command.write_text(_COMMAND.format(list=extensions))
    command.chmod(0o755)
    return vscode.Editor(name, command, folder / f"{name}-user/settings.json")


def extensions_of(each: vscode.Editor) -> str:
    return each.command.with_name(f"{each.command.name}.txt").read_text()


@pytest.fixture
def code(home: Path, tmp_path: Path) -> vscode.Editor:
    return an_editor(tmp_path, "code")


@pytest.fixture
def codium(code: vscode.Editor, tmp_path: Path) -> vscode.Editor:
    return an_editor(tmp_path, "codium")


def test_connecting_adds_one_line_and_undoing_restores_every_byte(code: vscode.Editor) -> None:
    code.settings.parent.mkdir()
    code.settings.write_text(OWNERS)
    (connection,) = vscode.connect(code, "http://localhost:8080")
    text = code.settings.read_text()
    assert jsonc.get(text, vscode.ENDPOINT) == "http://localhost:8080"
    assert jsonc.drop(text, vscode.ENDPOINT) == OWNERS
    assert connection.backup is not None
    assert Path(connection.backup).read_text() == OWNERS
    (undone,) = vscode.disconnect()
    assert code.settings.read_text() == OWNERS
    assert undone.uninstalled
    assert vscode.connections() == ()


def test_what_was_agreed_to_is_written_and_all_of_it_is_gone_again(code: vscode.Editor) -> None:
    vscode.connect(code, "http://localhost:1", consents=["signed-out", "copilot-harness"])
    assert json.loads(code.settings.read_text()) == {
        "huggingface.customTGIEndpoint": "http://localhost:1",
        "chat.allowAnonymousAccess": True,
        "chat.byokUtilityModelDefault": "mainAgent",
        "chat.agentHost.byokModels.enabled": True,
        "chat.agentHost.allowSignedOutWhenUsable": True,
    }
    vscode.disconnect()
    assert not code.settings.exists()


def test_undoing_keeps_what_the_owner_changed_since(code: vscode.Editor) -> None:
    code.settings.parent.mkdir()
    code.settings.write_text(OWNERS)
    vscode.connect(code, "http://localhost:1", consents=["signed-out"])
    mine = jsonc.put(code.settings.read_text(), vscode.ENDPOINT, "http://elsewhere")
    code.settings.write_text(mine)
    (undone,) = vscode.disconnect()
    assert undone.kept == (vscode.ENDPOINT,)
    assert undone.restored == ("chat.allowAnonymousAccess", "chat.byokUtilityModelDefault")
    text = code.settings.read_text()
    assert jsonc.get(text, vscode.ENDPOINT) == "http://elsewhere"
    assert "// mine" in text


def test_connecting_twice_still_undoes_to_the_first_state(code: vscode.Editor) -> None:
    code.settings.parent.mkdir()
    before = jsonc.put(OWNERS, vscode.ENDPOINT, "http://old")
    code.settings.write_text(before)
    vscode.connect(code, "http://localhost:1")
    vscode.connect(code, "http://localhost:2")
    vscode.disconnect()
    assert code.settings.read_text() == before


def test_an_extension_that_was_there_before_stays(code: vscode.Editor) -> None:
    vscode.install(code)
    vscode.connect(code, "http://localhost:1")
    (undone,) = vscode.disconnect()
    assert not undone.uninstalled


def test_a_folders_own_settings_can_be_written(code: vscode.Editor, tmp_path: Path) -> None:
    vscode.connect(code, "http://localhost:1", workspace=tmp_path / "project")
    assert not code.settings.exists()
    text = (tmp_path / "project/.vscode/settings.json").read_text()
    assert json.loads(text) == {vscode.ENDPOINT: "http://localhost:1"}


def test_what_vs_code_ignores_in_a_folders_settings_goes_into_the_users(
    code: vscode.Editor, tmp_path: Path
) -> None:
    project = tmp_path / "project/.vscode/settings.json"
    written = vscode.connect(
        code, "http://localhost:1", workspace=tmp_path / "project", consents=["copilot-harness"]
    )
    assert [each.settings for each in written] == [str(project), str(code.settings)]
    assert json.loads(project.read_text()) == {vscode.ENDPOINT: "http://localhost:1"}
    assert json.loads(code.settings.read_text()) == {
        "chat.agentHost.byokModels.enabled": True,
        "chat.agentHost.allowSignedOutWhenUsable": True,
    }
    vscode.disconnect()
    assert not code.settings.exists()
    assert not project.exists()
    assert extensions_of(code) == ""


def test_a_remote_machines_settings_get_only_what_counts_there(
    code: vscode.Editor, tmp_path: Path
) -> None:
    remote = vscode.Editor("VS Code (remote)", code.command, tmp_path / "Machine/settings.json")
    (written,) = vscode.connect(
        remote, "http://localhost:1", consents=["signed-out", "copilot-harness"]
    )
    assert "chat.allowAnonymousAccess" in written.changes
    assert not any("agentHost" in name for name in written.changes)


def test_broken_settings_are_left_alone_and_nothing_is_installed(code: vscode.Editor) -> None:
    code.settings.parent.mkdir()
    code.settings.write_text('{"a": ')
    with pytest.raises(StokerError, match="cannot be edited"):
        vscode.connect(code, "http://localhost:1")
    assert code.settings.read_text() == '{"a": '
    assert vscode.install(code) is True


def test_a_linked_settings_file_stays_a_link_with_its_mode(
    code: vscode.Editor, tmp_path: Path
) -> None:
    dotfile = tmp_path / "dotfiles.json"
    dotfile.write_text("{}")
    dotfile.chmod(0o600)
    code.settings.parent.mkdir()
    code.settings.symlink_to(dotfile)
    vscode.connect(code, "http://localhost:1")
    assert code.settings.is_symlink()
    assert vscode.ENDPOINT in dotfile.read_text()
    assert stat.S_IMODE(dotfile.stat().st_mode) == 0o600


def test_what_was_written_between_two_connections_survives_the_undoing(code: vscode.Editor) -> None:
    code.settings.parent.mkdir()
    code.settings.write_text(OWNERS)
    vscode.connect(code, "http://localhost:1")
    mine = jsonc.put(code.settings.read_text(), "editor.tabSize", 3).replace("// mine", "// ours")
    code.settings.write_text(mine)
    vscode.connect(code, "http://localhost:2")
    (undone,) = vscode.disconnect()
    assert undone.restored == (vscode.ENDPOINT,)
    assert code.settings.read_text() == jsonc.drop(mine, vscode.ENDPOINT)


def test_a_new_file_that_its_owner_has_written_to_is_not_taken_away(code: vscode.Editor) -> None:
    vscode.connect(code, "http://localhost:1")
    code.settings.write_text(jsonc.put(code.settings.read_text(), "editor.tabSize", 3))
    vscode.connect(code, "http://localhost:2")
    vscode.disconnect()
    assert json.loads(code.settings.read_text()) == {"editor.tabSize": 3}


def test_an_endpoint_that_was_set_between_two_connections_comes_back(
    code: vscode.Editor,
) -> None:
    vscode.connect(code, "http://localhost:1")
    code.settings.write_text(jsonc.put(code.settings.read_text(), vscode.ENDPOINT, "http://mine"))
    vscode.connect(code, "http://localhost:2")
    vscode.disconnect()
    assert json.loads(code.settings.read_text()) == {vscode.ENDPOINT: "http://mine"}


def test_without_its_backup_only_stokers_own_key_goes(code: vscode.Editor) -> None:
    code.settings.parent.mkdir()
    code.settings.write_text(OWNERS)
    (connection,) = vscode.connect(code, "http://localhost:1")
    assert connection.backup is not None
    Path(connection.backup).unlink()
    vscode.disconnect()
    assert code.settings.read_text() == OWNERS


def test_each_of_two_editors_loses_the_extension_again(
    code: vscode.Editor, codium: vscode.Editor, tmp_path: Path
) -> None:
    for each in (code, codium):
        vscode.connect(each, "http://localhost:1", workspace=tmp_path / "project")
    (undone,) = vscode.disconnect()
    assert undone.uninstalled == (str(code.command), str(codium.command))
    assert extensions_of(code) == extensions_of(codium) == ""
    assert not (tmp_path / "project/.vscode/settings.json").exists()


def test_an_editor_that_is_gone_holds_up_nothing(
    code: vscode.Editor, codium: vscode.Editor
) -> None:
    vscode.connect(code, "http://localhost:1")
    vscode.connect(codium, "http://localhost:1")
    code.command.unlink()
    first, second = vscode.disconnect()
    assert first.gone == (str(code.command),)
    assert second.uninstalled == (str(codium.command),)
    assert not first.problems
    assert not code.settings.exists()
    assert not codium.settings.exists()
    assert vscode.connections() == ()


def test_an_editor_that_fails_is_tried_again_the_next_time(
    code: vscode.Editor, codium: vscode.Editor
) -> None:
    vscode.connect(code, "http://localhost:1")
    vscode.connect(codium, "http://localhost:1")
    broken = Path(f"{code.command}.broken")
    broken.touch()
    first, second = vscode.disconnect()
    assert "failed with exit code" in first.problems[0].what
    assert first.restored == (vscode.ENDPOINT,)
    assert second.uninstalled
    broken.unlink()
    (again,) = vscode.disconnect()
    assert again.uninstalled == (str(code.command),)
    assert extensions_of(code) == ""
    assert vscode.connections() == ()


@pytest.mark.parametrize("broken", [b'{"a": ', b'{"a": 1, "\\x": 2}', b'{"a": "\xff"}'])
def test_settings_that_became_unreadable_are_reported_and_the_others_undone(
    code: vscode.Editor, codium: vscode.Editor, broken: bytes
) -> None:
    vscode.connect(code, "http://localhost:1")
    vscode.connect(codium, "http://localhost:1")
    whole = code.settings.read_bytes()
    code.settings.write_bytes(broken)
    first, second = vscode.disconnect()
    assert str(code.settings) in first.problems[0].what
    assert code.settings.read_bytes() == broken
    assert extensions_of(code) == ""
    assert second.restored == (vscode.ENDPOINT,)
    code.settings.write_bytes(whole)  # the user fixes it
    (again,) = vscode.disconnect()
    assert again.restored == (vscode.ENDPOINT,)
    assert vscode.connections() == ()


def test_read_only_settings_stay_and_the_lines_to_write_are_named(code: vscode.Editor) -> None:
    code.settings.parent.mkdir()
    code.settings.write_text(OWNERS)
    code.settings.chmod(0o444)
    with pytest.raises(StokerError, match="is read-only") as refused:
        vscode.connect(code, "http://localhost:1", consents=["signed-out"])
    assert '"chat.allowAnonymousAccess": true' in refused.value.fix
    assert code.settings.read_text() == OWNERS
    assert extensions_of(code) == ""
    assert vscode.connections() == ()


def test_a_place_where_no_file_can_be_is_reported_before_anything_is_installed(
    code: vscode.Editor,
) -> None:
    code.settings.parent.write_text("a file where the folder should be")
    with pytest.raises(StokerError, match="is read-only"):
        vscode.connect(code, "http://localhost:1")
    assert extensions_of(code) == ""
    assert vscode.connections() == ()


def test_a_profile_is_connected_and_given_back_with_its_own_extensions(
    code: vscode.Editor, tmp_path: Path
) -> None:
    """The command records its arguments."""
    code.command.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    work = dataclasses.replace(
        code,
        settings=code.settings.parent / "profiles/1/settings.json",
        profile="My work",
        default_settings=code.settings,
    )
    own, default = vscode.connect(work, "http://localhost:1", consents=["copilot-harness"])
    assert own.settings == str(work.settings)
    assert default.settings == str(code.settings)
    vscode.disconnect()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls
    assert all(call.startswith("--profile My work --") for call in calls)
    assert not work.settings.exists()
    assert not code.settings.exists()


def test_a_journal_of_an_earlier_version_is_undone(code: vscode.Editor) -> None:
    """It recorded one command, spaces included, instead of a list of command lines."""
    spaced = code.command.with_name("Visual Studio Code")
    code.command.rename(spaced)
    code.command.with_name("code.txt").write_text("stoker.stoker\n")
    vscode.connect(dataclasses.replace(code, command=spaced), "http://localhost:1")
    journal = Path(os.environ["STOKER_HOME"]).glob("**/connections.json")
    (path,) = journal
    (entry,) = json.loads(path.read_text())
    path.write_text(json.dumps([{**entry, "installed_with": str(spaced)}]))
    (undone,) = vscode.disconnect()
    assert undone.uninstalled == (str(spaced),)
    assert extensions_of(code) == ""
