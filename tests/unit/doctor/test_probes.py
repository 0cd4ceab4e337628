"""Reading the chain is quick and never fails, on any machine."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.doctor.conftest import Machine, Serve

from stoker import paths
from stoker.doctor import diagnose, gather
from stoker.doctor.probes import PROBES_S

SETTING = "huggingface.customTGIEndpoint"


def test_an_empty_machine_is_read_without_a_network(machine: Machine) -> None:
    readings = gather(machine.home)
    assert readings.deployment is None
    assert readings.offline
    assert readings.editors == ()
    assert readings.endpoints == {}
    assert readings.host.memory.total_bytes > 0
    assert readings.memory_holders
    assert readings.unseen == ()
    assert list(machine.home.iterdir()) == []


def test_a_network_that_swallows_everything_delays_no_command(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("HF_ENDPOINT", url)
        machine.install_code()
        (machine.programs / "code").write_text("#!/bin/sh\nexec sleep 30\n")
        (machine.programs / "sleep").symlink_to("/bin/sleep")
        machine.write_settings({SETTING: url})
        began = time.monotonic()
        readings = gather(machine.home)
        assert time.monotonic() - began < PROBES_S + 15
    assert readings.hub is not None
    assert not readings.hub.reachable
    assert readings.endpoints[url].failure == "timeout"
    assert readings.editors[0].versions.vscode is None
    found = {finding.kind.id for finding in diagnose(readings)}
    assert {
        "hub.unreachable",
        "endpoint.timeout",
        "editor.silent",
        "extension.unknown",
    } <= found


def test_an_editor_whose_command_starts_slowly_is_waited_for(machine: Machine) -> None:
    machine.install_code()
    slow = f"#!/bin/sh\nsleep {PROBES_S + 0.7}\necho 1.139.1\n"
    (machine.programs / "code").write_text(slow)
    (machine.programs / "sleep").symlink_to("/bin/sleep")
    assert gather(machine.home).editors[0].versions.vscode == "1.139.1"


def test_a_probe_that_fails_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr("stoker.host.ask_hub", broken)
    readings = gather(machine.home)
    assert readings.unseen == ("the model hub",)
    assert not readings.offline
    reported = {finding.kind.id: finding.what for finding in diagnose(readings)}
    assert "the model hub" in reported["looking.missed"]


@pytest.mark.parametrize(
    ("token", "state"),
    [("hf_abc DEF", "malformed"), ('"hf_abc"', "malformed"), ("sk-abc", "malformed"), ("", "none")],
)
def test_a_token_that_can_not_be_one_is_not_sent(
    machine: Machine, serve: Serve, monkeypatch: pytest.MonkeyPatch, token: str, state: str
) -> None:
    hub = serve({})
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", token)
    assert gather(machine.home).token == state
    assert set(hub.authorizations) <= {None}


def test_proxies_are_read_in_either_case(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://a:1")
    monkeypatch.setenv("ALL_PROXY", "socks5://b:2")
    monkeypatch.setenv("no_proxy", "localhost")
    readings = gather(machine.home)
    assert readings.proxies == {"HTTPS_PROXY": "http://a:1", "ALL_PROXY": "socks5://b:2"}
    assert readings.no_proxy == "localhost"


def test_unfinished_downloads_are_counted_apart(machine: Machine) -> None:
    folder = paths.cache_dir() / "models"
    folder.mkdir(parents=True)
    (folder / "a.gguf").write_bytes(bytes(3000))
    (folder / "b.gguf.partial").write_bytes(bytes(2000))
    kept = gather(machine.home).kept
    assert kept is not None
    assert (kept.bytes, kept.unfinished, kept.unfinished_bytes) == (3000, 1, 2000)


def test_a_folder_that_can_not_be_written_is_found(machine: Machine) -> None:
    # A file in place of the folder: even root can't write into it.
    paths.state_dir().parent.mkdir(parents=True, exist_ok=True)
    paths.state_dir().write_text("")
    assert paths.state_dir() in gather(machine.home).unwritable


def test_a_state_of_another_version_is_no_deployment(machine: Machine) -> None:
    paths.state_dir().mkdir(parents=True)
    (paths.state_dir() / "deployment.json").write_text(json.dumps({"something": "else"}))
    assert gather(machine.home).deployment is None


def test_the_program_that_holds_the_port_is_named(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = gather(machine.home, port=other.getsockname()[1]).port
    assert not port.free
    assert f"(pid {os.getpid()})" in (port.holder or "")
    assert port.next_free


@pytest.mark.parametrize("value", [7, None, ["http://a"], "", "ftp://a", "http://["])
def test_a_setting_of_any_kind_is_judged(machine: Machine, value: Any) -> None:
    machine.install_code("stoker.stoker@0.1.0")
    machine.write_settings({SETTING: value})
    found = {finding.kind.id for finding in diagnose(gather(machine.home))}
    assert found & {"setting.invalid", "setting.missing"}
    assert "setting.ok" not in found


def test_settings_that_are_broken_are_named(machine: Machine, tmp_path: Path) -> None:
    machine.install_code("stoker.stoker@0.1.0")
    machine.settings.parent.mkdir(parents=True)
    machine.settings.write_text('{ "a": 1 "b": 2 }')
    found = {f.kind.id: f for f in diagnose(gather(machine.home))}
    assert "line 1" in found["setting.unreadable"].what
    assert "setting.missing" not in found
