"""A profile has its own settings and extensions, and a folder can open in one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stoker import vscode
from stoker.vscode import Editor


@pytest.fixture
def code(tmp_path: Path) -> Editor:
    return Editor("VS Code", tmp_path / "code", tmp_path / "Code/User/settings.json")


def store(code: Editor, found: object) -> None:
    """Writes the list of profiles in the format of VS Code 1.139."""
    path = code.settings.parent / "globalStorage/storage.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))


def profiles(project: Path) -> dict[str, object]:
    return {
        "userDataProfiles": [
            {"location": "-7f3a", "name": "Work"},
            {"location": "51c0", "name": "Same", "useDefaultFlags": {"settings": True}},
            {"location": "builtin/agents", "name": "Agents"},
        ],
        "profileAssociations": {
            "workspaces": {project.as_uri(): "-7f3a", "file:///other": "51c0"},
            "emptyWindows": {},
        },
    }


def test_only_profiles_with_settings_of_their_own_are_others(code: Editor, tmp_path: Path) -> None:
    store(code, profiles(tmp_path))
    (work,) = vscode.profiles(code)
    assert work.title == "VS Code, profile Work"
    assert work.settings == code.settings.parent / "profiles/-7f3a/settings.json"
    assert work.application_settings == code.settings
    assert work.command_line == (str(code.command), "--profile", "Work")


def test_a_folder_opens_in_its_profile_and_so_does_what_lies_in_it(
    code: Editor, tmp_path: Path
) -> None:
    project = tmp_path / "my project"
    store(code, profiles(project))
    assert vscode.in_folder(code, project / "src").profile == "Work"
    assert vscode.in_folder(code, tmp_path) == code
    shared = vscode.in_folder(code, Path("/other"))
    assert (shared.profile, shared.settings) == ("Same", code.settings)


@pytest.mark.parametrize(
    "found", [[], {}, {"userDataProfiles": 1, "profileAssociations": []}, {"userDataProfiles": [1]}]
)
def test_a_list_that_makes_no_sense_is_no_profile(
    code: Editor, tmp_path: Path, found: object
) -> None:
    store(code, found)
    assert vscode.profiles(code) == ()
    assert vscode.in_folder(code, tmp_path) == code


def test_in_a_profile_its_own_settings_count_and_the_default_ones_where_vs_code_applies_them(
    code: Editor, tmp_path: Path
) -> None:
    store(code, profiles(tmp_path))
    work = vscode.in_folder(code, tmp_path)
    work.settings.parent.mkdir(parents=True)
    only_default = "chat.agentHost.allowSignedOutWhenUsable"
    code.settings.write_text(
        json.dumps({"chat.allowAnonymousAccess": True, only_default: True, "editor.tabSize": 2})
    )
    work.settings.write_text(json.dumps({only_default: False}))
    look = vscode.Look(work, vscode.Versions(), vscode.read_settings(work, tmp_path))
    assert look.value("chat.allowAnonymousAccess") is False
    assert look.value(only_default) is True
