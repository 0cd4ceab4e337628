"""``stoker doctor`` from the command line, on a machine that each test sets up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.doctor.conftest import Machine, Serve
from typer.testing import CliRunner, Result

from stoker.cli import app
from stoker.config_files import jsonc
from stoker.doctor import kinds
from stoker.errors import UsageError

SETTING = "huggingface.customTGIEndpoint"
MINE = {"chat.byokUtilityModelDefault": "mainAgent", "chat.allowAnonymousAccess": True}


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


def found(*arguments: str) -> dict[str, dict[str, Any]]:
    shown = doctor("--json", *arguments)
    links = json.loads(shown.output)["links"]
    return {finding["id"]: finding for link in links for finding in link["findings"]}


def test_a_machine_with_nothing_is_shown_where_to_begin(machine: Machine) -> None:
    shown = doctor()
    assert shown.exit_code == 1
    assert "Fix: Start one that fits this machine: stoker up" in shown.output
    assert "2 broken" in shown.output
    assert max(len(line) for line in shown.output.splitlines()) <= 80
    assert {"editor.none", "hub.offline", "gateway.none"} <= set(found())


def test_an_editor_and_a_server_that_fit_are_whole(machine: Machine, serve: Serve) -> None:
    machine.install_code("stoker.stoker@0.1.0")
    machine.write_settings({SETTING: serve().url, **MINE})
    shown = doctor()
    assert shown.exit_code == 0, shown.output
    assert "Nothing is broken" in shown.output


def test_a_server_that_went_away_is_named(machine: Machine, serve: Serve) -> None:
    machine.install_code("stoker.stoker@0.1.0")
    machine.write_settings({SETTING: "http://127.0.0.1:1", **MINE})
    shown = doctor()
    assert shown.exit_code == 1
    assert "Nothing listens at http://127.0.0.1:1." in shown.output


def test_fix_connects_the_editor_and_then_the_chain_is_whole(
    machine: Machine, serve: Serve
) -> None:
    machine.install_code()
    machine.write_settings({"editor.fontSize": 14})
    url = serve().url
    before = doctor("--endpoint", url)
    assert before.exit_code == 1
    assert "stoker doctor --fix fixes what is safe to fix" in " ".join(before.output.split())
    fixed = doctor("--endpoint", url, "--fix", "--yes")
    assert fixed.exit_code == 0, fixed.output
    text = machine.settings.read_text()
    assert jsonc.get(text, SETTING) == url
    assert jsonc.get(text, "editor.fontSize") == 14
    assert "stoker.stoker" in machine.extensions.read_text()


def test_what_fix_can_not_do_is_reported_and_the_rest_goes_on(machine: Machine) -> None:
    machine.install_code("stoker.stoker@0.1.0")
    machine.write_settings({**MINE})
    shown = doctor("--fix", "--yes")
    assert shown.exit_code == 1
    assert "There is no endpoint to connect to." in shown.output
    assert SETTING not in machine.settings.read_text()


def test_nothing_is_fixed_without_a_yes(machine: Machine, serve: Serve) -> None:
    machine.install_code()
    refused = doctor("--endpoint", serve().url, "--fix")
    assert isinstance(refused.exception, UsageError)
    assert "--yes" in str(refused.exception)
    assert machine.extensions.read_text() == ""


def test_a_report_holds_nothing_of_the_user_who_made_it(machine: Machine, serve: Serve) -> None:
    machine.install_code("stoker.stoker@0.1.0")
    machine.write_settings({SETTING: f"http://ada:hunter2@127.0.0.1:{serve().port}", **MINE})
    shown = doctor("--report")
    assert "setting.secret" in shown.output
    for private in (str(machine.home), "ada", "hunter2", "my-model"):
        assert private not in shown.output


def test_a_password_in_the_address_shows_nowhere(machine: Machine, serve: Serve) -> None:
    machine.install_code("stoker.stoker@0.1.0")
    machine.write_settings({SETTING: f"http://ada:hunter2@127.0.0.1:{serve().port}", **MINE})
    assert "hunter2" not in doctor().output
    assert "hunter2" not in doctor("--json").output


def test_the_key_goes_to_its_own_server_alone_and_is_not_shown(
    machine: Machine, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    server, other = serve(), serve()
    machine.install_code("stoker.stoker@0.1.0")
    machine.write_settings({SETTING: other.url, **MINE})
    shown = doctor("--endpoint", f"{server.url}/v1", "--key-env", "MY_KEY", "--json")
    assert server.authorizations[0] == "Bearer sk-very-secret"
    assert other.authorizations
    assert set(other.authorizations) == {None}
    assert "sk-very-secret" not in shown.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--key-env", "MY_KEY"),
        ("--endpoint", "http://127.0.0.1:1", "--key-env", "NO_SUCH_KEY"),
        ("--endpoint", "ftp://host"),
        ("--endpoint", " "),
    ],
)
def test_what_is_used_wrongly_is_reported(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    refused = doctor(*arguments)
    assert isinstance(refused.exception, UsageError)
    assert refused.exception.fix


def test_a_workspace_that_hides_the_users_setting_is_found(machine: Machine, serve: Serve) -> None:
    machine.install_code("stoker.stoker@0.1.0")
    machine.write_settings({SETTING: serve().url, **MINE})
    project = machine.home / "project/src"
    project.mkdir(parents=True)
    (project.parent / ".vscode").mkdir()
    settings = project.parent / ".vscode/settings.json"
    settings.write_text('{ "huggingface.customTGIEndpoint": "http://127.0.0.1:1" } // old')
    assert "setting.overridden" in found("--workspace", str(project))
    assert "setting.overridden" not in found()


def test_json_has_of_every_finding_what_the_guide_has(machine: Machine) -> None:
    shown = json.loads(doctor("--json").output)
    assert shown["whole"] is False
    assert shown["fixed"] == []
    for link in shown["links"]:
        for finding in link["findings"]:
            assert finding["state"] == kinds()[finding["id"]].state
