"""``stoker code``: what it writes, what it asks, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Run

ENDPOINT = "http://127.0.0.1:8000"
ANONYMOUS = "chat.allowAnonymousAccess"
HARNESS = "chat.agentHost.allowSignedOutWhenUsable"
ALL = {
    "huggingface.customTGIEndpoint": ENDPOINT,
    ANONYMOUS: True,
    "chat.byokUtilityModelDefault": "mainAgent",
    "chat.agentHost.byokModels.enabled": True,
    HARNESS: True,
}


class Machine:
    """An empty home with one editor, VSCodium; commands run without a terminal, or on one."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder = folder
        self.settings = folder / ".config/VSCodium/User/settings.json"
        command = folder / "bin/codium"
        command.parent.mkdir()
        command.write_text("#!/bin/sh\nexit 0\n")
        command.chmod(0o755)
        self.run = partial(run, "code")

    def answer(self, *answers: str) -> str:
        """Run it on a terminal and answer each question when it is asked. Returns the output."""
        ours, theirs = os.openpty()
        printed = ""
        try:
            with subprocess.Popen(
                [sys.executable, "-m", "stoker", "code", "--endpoint", ENDPOINT],
                cwd=self.folder,
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process:
                assert process.stdout
                while more := process.stdout.read(1):
                    printed += more
                    if printed.endswith("[Y/n]: "):
                        asked = printed.count("[Y/n]: ")
                        os.write(ours, f"{answers[asked - 1]}\n".encode())
        finally:
            os.close(ours)
            os.close(theirs)
        return printed

    def written(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.settings.read_text())
        return found


@pytest.fixture
def machine(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in [name for name in os.environ if name.startswith("VSCODE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{home}/bin:/bin")
    return Machine(home, run)


def test_yes_writes_all_that_chat_without_an_account_needs_and_remove_undoes_it(
    machine: Machine,
) -> None:
    done = machine.run("--endpoint", ENDPOINT, "--yes")
    assert done.returncode == 0, done.stdout
    assert machine.written() == ALL
    assert "Not set" not in done.stdout
    assert "Reload" in done.stdout
    assert machine.run("--remove").returncode == 0
    assert not machine.settings.exists()


def test_without_a_terminal_only_the_endpoint_is_written_and_the_rest_is_named(
    machine: Machine,
) -> None:
    done = machine.run("--endpoint", ENDPOINT)
    assert machine.written() == {"huggingface.customTGIEndpoint": ENDPOINT}
    assert f"Not set: {ANONYMOUS}, chat.byokUtilityModelDefault" in done.stdout
    assert HARNESS in done.stdout
    assert "stoker code --yes" in done.stdout
    as_json = json.loads(machine.run("--endpoint", ENDPOINT, "--json").stdout)
    assert [each["settings"][0] for each in as_json["not_written"]] == [
        ANONYMOUS,
        "chat.agentHost.byokModels.enabled",
    ]


@pytest.mark.parametrize(
    ("answers", "has_anonymous", "has_harness"),
    [
        ("yy", True, True),
        ("yn", True, False),
        ("ny", False, True),
        ("nn", False, False),
    ],
)
def test_a_no_leaves_its_own_settings_out_and_nothing_else(
    machine: Machine, answers: str, has_anonymous: bool, has_harness: bool
) -> None:
    printed = machine.answer(*answers)
    written = machine.written()
    assert written["huggingface.customTGIEndpoint"] == ENDPOINT
    assert (ANONYMOUS in written) is has_anonymous
    assert (HARNESS in written) is has_harness
    assert ("Sign in to use GitHub Copilot" in printed) is not has_anonymous


def test_settings_that_are_already_there_are_not_asked_about(machine: Machine) -> None:
    machine.run("--endpoint", ENDPOINT, "--yes")
    assert "?" not in machine.answer()
    assert machine.written() == ALL


@pytest.mark.parametrize(
    "text",
    ["htp:/wrong url", "htp://host", "http:/host", "http://a b", "http://host:99999", " ", ""],
)
def test_an_endpoint_that_can_be_no_address_is_refused_and_nothing_is_written(
    machine: Machine, text: str
) -> None:
    done = machine.run("--endpoint", text, "--yes")
    assert done.returncode == 2
    assert "is not an address" in done.stderr
    assert not machine.settings.exists()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("http://host:8000/", "http://host:8000"),
        ("host:8000/v1", "http://host:8000"),
        (" http://host/prefix/v1/ ", "http://host/prefix"),
        ("HTTPS://host", "https://host"),
        ("0.0.0.0:8000", "http://127.0.0.1:8000"),
    ],
)
def test_an_endpoint_is_written_as_it_is_meant(machine: Machine, text: str, meant: str) -> None:
    assert machine.run("--endpoint", text).returncode == 0
    assert machine.written() == {"huggingface.customTGIEndpoint": meant}


def test_a_folder_gets_what_counts_there_and_the_user_the_rest(machine: Machine) -> None:
    done = machine.run("--endpoint", ENDPOINT, "--workspace", ".", "--yes")
    project = json.loads((machine.folder / ".vscode/settings.json").read_text())
    assert {**project, **machine.written()} == ALL
    assert HARNESS not in project
    assert str(machine.settings) in done.stdout


def with_a_profile(machine: Machine) -> Path:
    """A profile of the editor with settings of its own, as VS Code writes it down."""
    stored = machine.settings.parent / "globalStorage/storage.json"
    stored.parent.mkdir(parents=True)
    listed = [{"location": "-7f3a", "name": "Work"}]
    of_folders = {"workspaces": {machine.folder.as_uri(): "-7f3a"}}
    stored.write_text(json.dumps({"userDataProfiles": listed, "profileAssociations": of_folders}))
    return machine.settings.parent / "profiles/-7f3a/settings.json"


def test_other_profiles_are_connected_with_yes_and_named_without(machine: Machine) -> None:
    own = with_a_profile(machine)
    done = machine.run("--endpoint", ENDPOINT)
    assert "Not connected: VSCodium, profile Work" in done.stdout
    assert not own.exists()
    done = machine.run("--endpoint", ENDPOINT, "--yes")
    assert "VSCodium, profile Work: connected" in done.stdout
    assert {**json.loads(own.read_text()), **machine.written()} == ALL
    assert machine.run("--remove").returncode == 0
    assert not own.exists()
    assert not machine.settings.exists()


def test_an_editor_that_cannot_be_connected_does_not_stop_the_others(machine: Machine) -> None:
    second = machine.folder / "bin/cursor"
    second.write_text("#!/bin/sh\nexit 0\n")
    second.chmod(0o755)
    machine.settings.parent.mkdir(parents=True)
    machine.settings.write_text("{}")
    machine.settings.chmod(0o444)
    done = machine.run("--endpoint", ENDPOINT, "--yes")
    assert done.returncode == 1
    assert "is read-only" in done.stderr
    cursor = machine.folder / ".config/Cursor/User/settings.json"
    assert json.loads(cursor.read_text()) == ALL
    assert machine.settings.read_text() == "{}"
