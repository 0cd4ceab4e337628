"""The end of ``stoker up``: it connects the installed editors, if the user agrees."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoker import vscode
from stoker.cli import main
from stoker.cli.commands import code

ENDPOINT = "http://127.0.0.1:8000"

#: An editor's command that lists no extension and accepts every one.
WORKS = "#!/bin/sh\nexit 0\n"
FAILS = '#!/bin/sh\necho "no space left" >&2\nexit 1\n'


@pytest.fixture
def folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose ``bin`` is all that is on PATH."""
    monkeypatch.setenv("PATH", str(home / "bin"))
    (home / "bin").mkdir()
    return home


def put_editor(folder: Path, script: str) -> Path:
    command = folder / "bin/codium"
    command.write_text(script)
    command.chmod(0o755)
    return folder / ".config/VSCodium/User/settings.json"


def test_yes_connects_and_prints_how_to_undo_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = put_editor(folder, WORKS)
    code.offer(ENDPOINT, yes=True)
    assert f'"{vscode.ENDPOINT}": "{ENDPOINT}"' in settings.read_text()
    assert "stoker code --remove" in capsys.readouterr().out


def test_without_a_terminal_the_command_is_named_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = put_editor(folder, WORKS)
    code.offer(ENDPOINT, yes=False)
    assert not settings.exists()
    assert "Connect VSCodium to it with: stoker code" in capsys.readouterr().out


def test_an_editor_that_is_connected_is_not_mentioned_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_editor(folder, WORKS)
    code.offer(ENDPOINT, yes=True)
    capsys.readouterr()
    code.offer(ENDPOINT, yes=False)
    assert capsys.readouterr().out == ""


def test_another_endpoint_is_offered_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = put_editor(folder, WORKS)
    code.offer(ENDPOINT, yes=True)
    code.offer("http://127.0.0.1:9000", yes=True)
    assert "http://127.0.0.1:9000" in settings.read_text()


def test_an_editor_that_refuses_is_no_failure_of_what_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_editor(folder, FAILS)
    code.offer(ENDPOINT, yes=True)
    assert "VSCodium is not connected" in capsys.readouterr().out


def test_without_an_editor_nothing_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code.offer(ENDPOINT, yes=True)
    assert capsys.readouterr().out == ""


def test_what_cannot_be_undone_is_reported_and_the_exit_code_is_1(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = put_editor(folder, WORKS)
    code.offer(ENDPOINT, yes=True)
    settings.write_text('{"a": ')
    monkeypatch.setattr("sys.argv", ["stoker", "code", "--remove"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert f"{settings} cannot be edited" in printed
    assert "line 1" in printed
