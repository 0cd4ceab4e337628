"""A policy overrides every settings file."""

from __future__ import annotations

import json
import plistlib
from pathlib import Path

import pytest

from stoker import vscode
from stoker.vscode import Editor
from stoker.vscode.policies import policies


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    (tmp_path / "etc/vscode").mkdir(parents=True)
    (tmp_path / "Library/Managed Preferences").mkdir(parents=True)
    return Editor("VS Code", tmp_path / "code", tmp_path / "User/settings.json")


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    return tmp_path / "etc/vscode/policy.json"


def effective(code: Editor, root: Path, key: str) -> tuple[object, vscode.SettingsFile] | None:
    code.settings.parent.mkdir(exist_ok=True)
    code.settings.write_text(json.dumps({"chat.agent.enabled": True}))
    files = vscode.read_settings(code, code.settings.parent, root)
    return vscode.Look(code, vscode.Versions(), files).effective(key)


def test_a_policy_wins_over_the_settings_file_and_is_named(
    code: Editor, policy_file: Path, tmp_path: Path
) -> None:
    policy_file.write_text(json.dumps({"ChatAgentMode": False, "UpdateMode": "none"}))
    used = effective(code, tmp_path, "chat.agent.enabled")
    assert used is not None
    assert (used[0], used[1].scope, used[1].path) == (False, "policy", policy_file)


def test_values_have_the_type_of_the_setting(
    code: Editor, policy_file: Path, tmp_path: Path
) -> None:
    policy_file.write_text(
        json.dumps({"ChatAgentMode": 0, "AllowedExtensions": '{"stoker": true}'})
    )
    _, locked = policies(code, tmp_path) or pytest.fail("there are policies")
    assert locked == {"chat.agent.enabled": False, "extensions.allowed": {"stoker": True}}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"UpdateMode": "none"}'])
def test_a_file_without_a_policy_here_is_no_policy(
    code: Editor, policy_file: Path, tmp_path: Path, text: str
) -> None:
    policy_file.write_text(text)
    assert policies(code, tmp_path) is None


def test_macos_keeps_them_in_managed_preferences(
    code: Editor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    plist = tmp_path / "Library/Managed Preferences/com.microsoft.VSCode.plist"
    plist.write_bytes(plistlib.dumps({"ChatAgentMode": False}))
    assert policies(code, tmp_path) == (plist, {"chat.agent.enabled": False})


def test_a_remote_window_has_the_policies_of_another_machine(
    code: Editor, policy_file: Path, tmp_path: Path
) -> None:
    policy_file.write_text(json.dumps({"ChatAgentMode": False}))
    remote = Editor("VS Code (remote)", code.command, code.settings)
    assert policies(remote, tmp_path) is None
