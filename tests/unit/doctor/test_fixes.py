"""``--fix`` changes what is broken, and nothing that works."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.support.generators import returned
from tests.unit.doctor.conftest import Machine, Serve
from tests.unit.doctor.states import HEALTHY, HERE, in_editor, look, settings
from typer.testing import CliRunner

from stoker.cli import app
from stoker.config_files import jsonc
from stoker.doctor import apply_fix, diagnose, fixable, gather, kinds, question
from stoker.errors import StokerError
from stoker.vscode import ANONYMOUS_ACCESS, UTILITY_MODEL

SETTING = "huggingface.customTGIEndpoint"
SAFE = {kind.id for kind in kinds().values() if kind.safe_fix}


def fixed(machine: Machine, **wanted: str) -> list[str]:
    """Apply every fix. Returns what was done."""
    readings = gather(machine.home, endpoint=wanted.get("endpoint"))
    return [returned(apply_fix(finding, readings)) for finding in fixable(diagnose(readings))]


def test_only_what_is_stokers_own_or_can_be_undone_is_fixed() -> None:
    restart = {"engine.killed", "engine.container-gone", "gateway.silent"}
    editor = {"extension.missing", "extension.older", "setting.missing", "setting.wrong"}
    chat = {"chat.utility", "chat.sign-in", "chat.account", "chat.harness-closed"}
    assert restart | editor | chat == SAFE


@pytest.mark.parametrize("kind", sorted(SAFE))
def test_every_safe_fix_asks_a_question_of_its_own(kind: str) -> None:
    from tests.unit.doctor.test_findings import STATES  # noqa: PLC0415

    offered = fixable(diagnose(STATES[kind]))
    assert offered
    assert all(question(finding).endswith("?") for finding in offered)
    assert not any("None" in question(finding) for finding in offered)


def test_what_is_healthy_is_left_alone() -> None:
    assert fixable(diagnose(HEALTHY)) == ()


def test_an_editor_is_connected_once_and_the_engine_comes_first() -> None:
    broken = replace(
        in_editor(settings(), extension=None, listed=True), running=False, engine_alive=False
    )
    offered = [finding.kind.safe_fix for finding in fixable(diagnose(broken))]
    assert offered == ["restart", "connect", "signed-out"]


def test_each_editor_is_fixed_by_itself() -> None:
    first, second = look(settings(HERE), extension="0.0.1"), look(settings(HERE), name="Cursor")
    offered = fixable(diagnose(replace(HEALTHY, editors=(first, second))))
    assert {finding.editor for finding in offered} == {"VS Code", "Cursor"}


def test_an_old_extension_is_replaced_and_settings_stay(machine: Machine, serve: Serve) -> None:
    machine.install_code("stoker.stoker@0.0.1")
    values = {SETTING: serve().url, UTILITY_MODEL: "mainAgent", ANONYMOUS_ACCESS: True}
    machine.write_settings(values)
    before = machine.settings.read_text()
    assert fixed(machine) == ["VS Code: the extension is installed."]
    assert machine.settings.read_text() == before
    assert "stoker.stoker@0.1.0" in machine.extensions.read_text()


def test_an_address_that_works_stays_when_the_model_gets_titles_to_write(
    machine: Machine, serve: Serve
) -> None:
    machine.install_code("stoker.stoker@0.1.0")
    url = serve().url
    machine.write_settings({SETTING: f"{url}/v1"})
    fixed(machine)
    text = machine.settings.read_text()
    assert jsonc.get(text, SETTING) == f"{url}/v1"
    assert jsonc.get(text, UTILITY_MODEL) == "mainAgent"


def test_with_no_endpoint_nothing_is_written(machine: Machine) -> None:
    machine.install_code("stoker.stoker@0.1.0")
    machine.write_settings({})
    with pytest.raises(StokerError, match="no endpoint"):
        fixed(machine)
    assert json.loads(machine.settings.read_text()) == {}


def test_undoing_gives_back_what_was_there(machine: Machine, serve: Serve) -> None:
    machine.install_code()
    machine.write_settings({"editor.fontSize": 14})
    before = machine.settings.read_text()
    fixed(machine, endpoint=serve().url)
    assert machine.settings.read_text() != before
    assert CliRunner().invoke(app, ["code", "--remove"]).exit_code == 0
    assert machine.settings.read_text() == before
