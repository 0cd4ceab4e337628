"""All of VS Code's settings are named in one table and nowhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path

from stoker.data.facts import load_table
from stoker.vscode import CONSENTS, SETTINGS, vscode_settings

ROOT = Path(__file__).parents[3]
NAME = re.compile(r"\b(?:chat|github\.copilot|http|extensions)\.[A-Za-z][\w.]*\w")


def test_no_other_module_names_a_setting() -> None:
    own = Path(vscode_settings.__file__)
    others = [path for path in (ROOT / "src/stoker").rglob("*.py") if path != own]
    named = {(path.name, name) for path in others for name in SETTINGS if name in path.read_text()}
    assert named == set()


def test_what_the_doctor_speaks_of_is_in_the_table() -> None:
    old = {entry["name"] for entry in load_table("doctor")["old_setting"]}
    texts = [
        f[key]
        for f in load_table("doctor")["finding"]
        for key in ("what", "why", "fix")
        if key in f
    ]
    named = {name for text in texts for name in NAME.findall(text)}
    assert named - old <= set(SETTINGS)
    assert "chat.allowAnonymousAccess" in named


def test_what_the_extension_writes_is_in_the_table() -> None:
    literal = re.compile(r'"(chat\.[\w.]+|github\.copilot\.[\w.]+)"')
    sources = (ROOT / "extension/src").rglob("*.ts")
    named = {name for path in sources for name in literal.findall(path.read_text())}
    assert named <= set(SETTINGS)


def test_the_extension_writes_what_stoker_code_writes() -> None:
    source = (ROOT / "extension/src/ui/signedOutSettings.ts").read_text()
    pairs = re.findall(r'\{ key: "([\w.]+)", value: (\w+|"\w+") \}', source)
    written = [each for consent in CONSENTS for each in vscode_settings.of(consent)]
    assert {name: json.loads(value) for name, value in pairs} == {
        each.name: each.value for each in written if each.value is not None
    }


def test_what_is_written_differs_from_the_default_and_has_a_question() -> None:
    written = [each for consent in CONSENTS for each in vscode_settings.of(consent)]
    assert {each.name for each in SETTINGS.values() if each.consent} == {e.name for e in written}
    assert all(each.value != each.default for each in written)
    assert not any(each.value is not None for each in SETTINGS.values() if each.consent is None)
