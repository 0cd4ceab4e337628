"""The programs that will read the files accept them: Compose 1 and 2, systemd, Quadlet."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from tests.support import deployment_sites, deployment_tools
from tests.support.deployment_sites import SITES

pytestmark = pytest.mark.docker

#: Programs of the site that this machine does not have; any other line is a fault.
_NOT_HERE = re.compile(r"Command /opt/stoker/\S+ is not executable: No such file or directory$")


def write(folder: Path, name: str, format_name: str) -> Path:
    for file in deployment_sites.files(name, format_name):
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
        path.chmod(0o755 if file.executable else 0o644)
    return folder


def make_secrets(folder: Path) -> None:
    subprocess.run(["./make-secrets.sh"], check=True, cwd=folder, stdout=subprocess.DEVNULL)


def output(*command: str, cwd: Path) -> str:
    """What a program prints as it ends well."""
    done = subprocess.run(
        command, check=False, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize("version", [1, 2])
def test_docker_compose_reads_the_file(tmp_path: Path, name: str, version: int) -> None:
    program = deployment_tools.compose_1() if version == 1 else deployment_tools.compose_2()
    folder = write(tmp_path, name, "compose")
    make_secrets(folder)
    printed = output(program, "config", cwd=folder)
    assert "replica-1" in printed
    assert "variable is not set" not in printed  # an argument with a dollar sign is doubled


def systemd_faults(units: Path) -> list[str]:
    """What systemd finds wrong. Its exit code is 0 for most faults, so what it prints decides."""
    instances = [f"stoker-{kind}@1.service" for kind in ("replica", "router", "gateway")]
    done = subprocess.run(
        ["systemd-analyze", "verify", *instances, "stoker.target"],
        check=False,
        cwd=units,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True,
        text=True,
    )
    return [line for line in done.stderr.splitlines() if not _NOT_HERE.search(line)]


@pytest.mark.parametrize("name", SITES)
def test_systemd_reads_the_units(tmp_path: Path, name: str) -> None:
    assert systemd_faults(write(tmp_path, name, "systemd") / "units") == []


def test_fault_in_a_unit_is_seen(tmp_path: Path) -> None:
    units = write(tmp_path, "h100", "systemd") / "units"
    unit = units / "stoker-router@.service"
    unit.write_text(unit.read_text().replace("PrivateTmp=true", "PrivateTemp=true"))
    assert "PrivateTemp" in "".join(systemd_faults(units))


@pytest.mark.parametrize("name", SITES)
def test_quadlet_makes_a_unit_of_each_file(tmp_path: Path, name: str) -> None:
    units = write(tmp_path, name, "quadlet") / "quadlet"
    done = deployment_tools.quadlet(units)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    started = [line for line in done.stdout.splitlines() if line.startswith("ExecStart=")]
    assert len(started) == len(list(units.iterdir()))
    for line in started:
        words = shlex.split(line)  # a quotation mark that is lost is an error here
        if "--health-cmd" in words and "python" in words[words.index("--health-cmd") + 1]:
            asks = shlex.split(words[words.index("--health-cmd") + 1])
            assert asks[-2:] == ["exit", "1"]


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize("format_name", ["compose", "systemd", "quadlet"])
def test_scripts_are_shell(tmp_path: Path, name: str, format_name: str) -> None:
    for script in write(tmp_path, name, format_name).glob("*.sh"):
        output("sh", "-n", str(script), cwd=tmp_path)


def test_secrets_are_made_once_and_for_this_account_alone(tmp_path: Path) -> None:
    folder = write(tmp_path, "h100", "compose")
    make_secrets(folder)
    first = {path.name: path.read_bytes() for path in (folder / "secrets").iterdir()}
    make_secrets(folder)
    assert {path.name: path.read_bytes() for path in (folder / "secrets").iterdir()} == first
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    assert len(first["engine.key"].strip()) == 48
    assert first["tls.key"].startswith(b"-----BEGIN")
