"""What ``stoker up`` was called with is kept as words that it takes again."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
import typer
from tests.unit.certificates.issued import authority_file, write_pair

from stoker.application import LaunchRequest, launch
from stoker.application.launch import LaunchSettings
from stoker.cli import app, main
from stoker.cli.options import certificate_files
from stoker.errors import StokerError, UsageError

ALL = [
    "--purpose=chat",
    "--users=3",
    "--engine=llama.cpp",
    "--context=4096",
    "--parallel=2",
    "--python=/opt/v/bin/python",
    "--completion=auto",
    "--offline",
    "--native",
    "--image=a/b:1",
    "--name=mine",
    "--private-ipc",
    "--insecure",
    "--engine-arg=x=1",
    "--engine-arg=y",
    "--volume=/a:/b:ro",
    "--bind=::1",
    "--port=8123",
    "--usage=off",
]


def kept(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[str, ...]:
    asked: list[LaunchSettings] = []

    def stop_here(request: LaunchRequest, settings: LaunchSettings) -> None:
        asked.append(settings)
        raise StokerError("far enough")

    monkeypatch.setattr(launch, "start_model", stop_here)
    monkeypatch.setattr("sys.argv", ["stoker", "up", *words])
    with pytest.raises(SystemExit):
        main()
    return asked[0].flags


pytestmark = pytest.mark.usefixtures("home")


def tls_words(folder: Path) -> list[str]:
    """They name files that are read."""
    authority = trustme.CA()
    files = write_pair(folder, authority.issue_cert("localhost"))
    return [
        f"--tls-cert={files.certificate}",
        f"--tls-key={files.key}",
        f"--tls-client-ca={authority_file(folder, authority)}",
        "--tls-client-certs=optional",
    ]


def test_flags_come_back_as_they_were_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = [*ALL, *tls_words(tmp_path)]
    assert kept(monkeypatch, "m", *words) == tuple(words)


def test_certificates_of_clients_need_their_authority() -> None:
    with pytest.raises(UsageError, match="needs --tls-client-ca"):
        certificate_files(None, None, None, "optional")


def test_what_was_not_asked_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept(monkeypatch, "m", "--replace", "--yes") == ()


def test_every_flag_that_shapes_the_start_is_kept(tmp_path: Path) -> None:
    group = typer.main.get_group(app)
    up = group.get_command(typer.Context(group), "up")
    assert up is not None
    options = {option for flag in up.params for option in flag.opts if option.startswith("--")}
    of_one_call = {"--foreground", "--dry-run", "--keep", "--replace"}
    of_another_machine = {"--gpu", "--gpus", "--host"}
    of_an_adoption = {"--endpoint", "--key-env"}
    talk = {"--json", "--yes"}
    assert options - of_one_call - of_another_machine - of_an_adoption - talk == {
        word.partition("=")[0] for word in (*ALL, *tls_words(tmp_path))
    }
