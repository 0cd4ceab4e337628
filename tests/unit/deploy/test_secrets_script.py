"""``make-secrets.sh``, run: what it draws, what it keeps, and what it refuses."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.support import deployment_sites


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site with a certificate, two gateways, and a token of the hub."""
    files = {file.path: file for file in deployment_sites.files("rtx-5090", "compose")}
    for name in ("make-secrets.sh", ".gitignore"):
        (tmp_path / name).write_text(files[name].text)
    return tmp_path


def make(folder: Path) -> tuple[int, str]:
    env = {"PATH": os.environ["PATH"], "HF_TOKEN": "hf_token"}
    done = subprocess.run(
        ["sh", "make-secrets.sh"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_secrets_are_drawn_once_and_no_two_are_alike(folder: Path) -> None:
    assert make(folder) == (0, "")
    drawn = read(folder)
    assert make(folder) == (0, "")
    assert read(folder) == drawn
    keys = [drawn[name].strip() for name in ("engine.key", "postgres.password", "redis.password")]
    assert len({*keys, drawn["prometheus.key"]}) == 4
    assert all(len(key) == 48 for key in keys)
    assert f"redis://:{drawn['redis.password']}@redis/0" in drawn["gateway.env"]
    assert drawn["hub.env"] == "HF_TOKEN=hf_token\n"


def test_folder_is_closed_also_where_it_was_made_before(folder: Path) -> None:
    """Whoever brings a certificate makes the folder first, and it is open then."""
    (folder / "secrets").mkdir(mode=0o755)
    for name in ("tls.crt", "tls.key"):
        (folder / "secrets" / name).write_text("mine")
    assert make(folder) == (0, "")
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    assert (folder / "secrets/tls.key").read_text() == "mine"


@pytest.mark.parametrize("name", ["postgres.password", "redis.password"])
@pytest.mark.parametrize("password", ["it's", "a@host", "a b", 'x"', "$HOME", "50%", "a/b", "ü"])
def test_password_that_would_mean_something_in_an_address_is_refused(
    folder: Path, name: str, password: str
) -> None:
    (folder / "secrets").mkdir()
    (folder / "secrets" / name).write_text(password)
    code, errors = make(folder)
    assert code == 1
    assert "has a character other than letters" in errors
    assert "gateway.env" not in read(folder)
    assert "redis.conf" not in read(folder)


def test_password_of_your_own_is_kept(folder: Path) -> None:
    (folder / "secrets").mkdir()
    (folder / "secrets/postgres.password").write_text("my-own.Password_1~")
    assert make(folder) == (0, "")
    assert "//stoker:my-own.Password_1~@postgres/stoker" in read(folder)["gateway.env"]


def test_secrets_stay_out_of_version_control(folder: Path) -> None:
    assert "/secrets/" in (folder / ".gitignore").read_text().splitlines()
