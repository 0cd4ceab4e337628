"""A site is installed on a machine with systemd by its own ``install.sh``, with real vLLM.

The machine is a container that has no network: wheels lie in a folder, and vLLM, whose 151 packages
take minutes to unpack, is the tests' own environment, put where ``install.sh`` would make one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.support import composed_site, docker_daemon, systemd_machine, vllm_cpu
from tests.support.one_layer import one_layer_folder
from tests.support.systemd_machine import SystemdMachine

pytestmark = pytest.mark.docker

_MODEL = "smollm2"
_SITE, _WHEELS, _VLLM = "/root/site", "/wheels", "/opt/vllm"
_MODEL_FOLDER = "/srv/models/smollm2"
_URL = "http://127.0.0.1:8000"
_REPLICA, _GATEWAY = "stoker-replica@1.service", "stoker-gateway@1.service"
_START_S = 400.0


def write_site(folder: Path) -> Path:
    """The files for one replica and two gateways, as ``stoker deploy systemd`` writes them."""
    plan = folder / "plan.json"
    wanted = vllm_cpu.plan(Path(_MODEL_FOLDER), _MODEL)
    plan.write_text(json.dumps({"plan": asdict(wanted)}, default=str))
    site = folder / "site"
    command = ["deploy", "systemd", "--from", str(plan), "--no-monitoring", "-o", str(site)]
    subprocess.run([sys.executable, "-m", "stoker", *command], check=True)
    return site


@contextmanager
def machine_with(site: Path, folder: Path, endpoint: str) -> Iterator[SystemdMachine]:
    wheels = folder / "wheels"
    composed_site.collect_wheels(wheels)
    environment, *python = docker_daemon.vllm_folders()
    volumes = {
        str(site): (_SITE, "rw"),
        str(wheels): (_WHEELS, "ro"),
        str(one_layer_folder(vllm_cpu.installed().model, folder)): (_MODEL_FOLDER, "ro"),
        environment: (_VLLM, "ro"),
        **{path: (path, "ro") for path in python},
    }
    with systemd_machine.running(endpoint, volumes) as machine:
        yield machine


def place_vllm(machine: SystemdMachine, site: Path) -> None:
    """Put the tests' vLLM where the script looks for a complete environment."""
    found = re.search(r"^environment (\S+/vllm-cpu-\S+)", (site / "install.sh").read_text(), re.M)
    assert found is not None
    machine.run("mkdir", "-p", found[1])
    machine.run("sh", "-c", f"ln -s {_VLLM}/* {found[1]}/ && touch {found[1]}/installed")


def assert_answers(machine: SystemdMachine, site: Path) -> None:
    answer = machine.chat(_URL, (site / "secrets/prometheus.key").read_text(), _MODEL)
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] == 8


def test_site_is_installed_and_comes_back_from_crashes_and_a_reboot(
    docker_endpoint: str, tmp_path: Path
) -> None:
    site = write_site(tmp_path)
    with machine_with(site, tmp_path, docker_endpoint) as machine:
        place_vllm(machine, site)
        machine.run("./make-secrets.sh", within=_SITE)
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": _WHEELS}
        machine.run("./install.sh", env=offline, within=_SITE)
        machine.run("systemctl", "start", "--no-block", "stoker.target")
        for unit in (_REPLICA, _GATEWAY, "stoker-gateway@2.service", "stoker-router@2.service"):
            machine.await_active(unit, _START_S)
        assert_answers(machine, site)

        for unit in (_GATEWAY, _REPLICA):
            machine.kill(unit)
            machine.await_active(unit, _START_S, restarts=1)
        assert_answers(machine, site)

        machine.reboot()
        for unit in (_REPLICA, _GATEWAY):
            machine.await_active(unit, _START_S)
        assert_answers(machine, site)
