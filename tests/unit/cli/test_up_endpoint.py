"""``stoker up --endpoint``: it adopts, says so beforehand, and takes nothing that can't count."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.reference_server import KEY, ReferenceServer

from stoker.cli import main
from stoker.cli.render import startup_progress
from stoker.server import deployment_state

pytestmark = pytest.mark.usefixtures("home")


def stoker(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["stoker", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_dry_run_prints_what_it_would_adopt_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("ITS_KEY", KEY)
    with ReferenceServer() as server:
        there = ("up", "--endpoint", server.url, "--key-env", "ITS_KEY", "--dry-run")
        code, out, _ = stoker(capsys, monkeypatch, *there)
        _, document, _ = stoker(capsys, monkeypatch, *there, "--json", "--port", "8123")
    assert code == 0
    assert out.startswith("Would adopt ")
    assert "http://127.0.0.1:8000" in out
    assert json.loads(document)["endpoint"] == "http://127.0.0.1:8123"
    assert json.loads(document)["models"]
    assert deployment_state.read() is None
    assert list(home.iterdir()) == []


def test_server_that_wants_a_key_is_reported_with_an_option_that_exists(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReferenceServer() as server:
        there = ("up", "--endpoint", server.url, "--dry-run")
        code, _, err = stoker(capsys, monkeypatch, *there)
        assert code == 1
        assert "--key-env NAME" in err
        monkeypatch.setenv("ITS_KEY", KEY)
        assert stoker(capsys, monkeypatch, *there, "--key-env", "ITS_KEY")[0] == 0


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("some-model",), "MODEL"),
        (("--context", "4096"), "--context"),
        (("--engine-arg", "a=b", "--dry-run"), "--engine-arg"),
        (("--gpu", "RTX 4090", "--dry-run"), "--gpu"),
        (("--foreground", "--offline"), "--offline, --foreground"),
    ],
)
def test_what_an_adopted_server_can_not_take_is_refused_with_the_reason(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    named: str,
) -> None:
    code, _, err = stoker(capsys, monkeypatch, "up", "--endpoint", "http://127.0.0.1:9", *args)
    assert code == 2
    assert f"together with {named}." in err
    assert "already running" in err


def test_key_without_a_server_to_give_it_to_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = stoker(capsys, monkeypatch, "up", "--key-env", "ITS_KEY")
    assert code == 2
    assert "--endpoint URL" in err


@pytest.mark.parametrize(
    "address",
    [
        "http://me:hunter2@127.0.0.1:9",
        "http://me:hun/hunter2@127.0.0.1:9",
        "me:hunter2@127.0.0.1:9",
        "http://127.0.0.1:x/?key=hunter2",
        "http://127.0.0.1:9/v1?key=hunter2",
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ("adopt",),
        ("up", "--endpoint"),
        ("up", "--dry-run", "--endpoint"),
        ("test",),
        ("bench",),
    ],
)
def test_secret_in_an_address_is_refused_and_never_printed(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    address: str,
) -> None:
    code, out, err = stoker(capsys, monkeypatch, *command, address)
    assert code == 2
    assert "hunter2" not in out + err
    assert "Fix: " in err


def test_secret_is_not_written_into_an_editors_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    (home / "bin").mkdir()
    command = home / "bin/codium"
    command.write_text("#!/bin/sh\nexit 0\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent))
    code, out, err = stoker(
        capsys, monkeypatch, "code", "--endpoint", "http://me:hunter2@127.0.0.1:9"
    )
    assert code == 2
    assert "hunter2" not in out + err
    assert "Stoker: Set API Key" in err
    assert not (home / ".config").exists()


def test_doctor_does_not_repeat_what_it_can_not_read_as_an_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = stoker(
        capsys, monkeypatch, "doctor", "--endpoint", "http://me:hunter2@127.0.0.1:x"
    )
    assert code == 2
    assert "hunter2" not in out + err


@pytest.mark.parametrize(
    "command", [("up", "x.gguf", "--offline"), ("adopt", "http://127.0.0.1:9")]
)
@pytest.mark.parametrize("bind", ["", "0", "[::1]", "127.0.0.1:80"])
def test_bind_that_is_no_address_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    command: tuple[str, ...],
    bind: str,
) -> None:
    code, _, err = stoker(capsys, monkeypatch, *command, "--bind", bind)
    assert code == 2
    assert "--bind" in err and "Fix: " in err
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("bind", "insecure", "open_to_others"),
    [("127.0.0.2", True, False), ("0.0.0.0", True, True), ("0.0.0.0", False, False)],
)
def test_only_what_others_reach_is_called_open(
    capsys: pytest.CaptureFixture[str], bind: str, insecure: bool, open_to_others: bool
) -> None:
    startup_progress.warn_open(bind, insecure=insecure)
    assert ("Every machine that reaches" in capsys.readouterr().out) == open_to_others


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://127.0.0.1:0"])
def test_port_that_can_not_be_is_no_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    code, _, err = stoker(capsys, monkeypatch, "adopt", url)
    assert code == 2
    assert "is not an address" in err
