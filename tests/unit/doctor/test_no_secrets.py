"""Canaries in all that the doctor reads: no output, no file and no stack trace repeats one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.doctor.conftest import Machine, Serve
from tests.unit.server.scripted_engine import PLAN
from typer.testing import CliRunner

from stoker import paths
from stoker.cli import app
from stoker.engines import Options
from stoker.errors import Problem
from stoker.server import Deployment, LaunchSpec, LiveState, deployment_state, own_key

SETTING = "huggingface.customTGIEndpoint"
OUTPUTS = ((), ("--json",), ("--report",), ("--report", "--json"))


@pytest.fixture
def planted(machine: Machine, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> str:
    """A secret in each place that a person keeps one; the address of a server to ask."""
    quoting = (401, {"error": {"message": "canary-refusal of Bearer canary-endpoint"}})
    server = serve({"/v1/models": quoting, "/info": (200, {"server": "canary-server"})})
    server.headers["x-canary"] = "canary-header"
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://user:canary-proxy@127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_canarytoken")
    monkeypatch.setenv("HF_ENDPOINT", "http://user:canary-mirror@127.0.0.1:9/?token=canary-query")
    monkeypatch.setenv("SERVER_KEY", "canary-endpoint")
    monkeypatch.setenv("VLLM_API_KEY", "canary-engine")
    (machine.home / "token").write_text("hf_canaryfile")
    machine.install_code("stoker.stoker@0.1.0")
    machine.write_settings(
        {
            SETTING: server.url.replace("http://", "http://ann:canary-login@"),
            "http.proxy": "http://ann:canary-editor@127.0.0.1:9",
            "http.proxyAuthorization": "Basic canary-authorization",
            "stoker.apiKey": "canary-setting",
        }
    )
    _deployed(server.url)
    return server.url


def _deployed(url: str) -> None:
    """An adopted server whose start failed, with its key as an argument of the command."""
    deployment_state.state_folder()
    own_key.draw()
    (paths.state_dir() / "own.key").write_text("canary-own")
    options = Options(adopted=url, key="canary-adopted", key_env="SERVER_KEY")
    spec = LaunchSpec(PLAN, "127.0.0.1", 1, options=options)
    problem = Problem("It failed.", "The log has no details.", "stoker logs")
    deployment_state.write(Deployment(spec, replace(LiveState(), status="failed", problem=problem)))


@pytest.mark.parametrize("output", OUTPUTS, ids=" ".join)
def test_no_output_of_the_doctor_repeats_a_secret(planted: str, output: tuple[str, ...]) -> None:
    for asked in ((), ("--endpoint", planted, "--key-env", "SERVER_KEY")):
        shown = CliRunner().invoke(app, ["doctor", *asked, *output])
        assert "endpoint" in shown.output.lower()
        assert "canary" not in shown.output
        assert "canary" not in str(shown.exception)


def test_no_file_of_stokers_state_holds_the_key_of_an_adopted_server(planted: str) -> None:
    kept = [path for path in paths.state_dir().iterdir() if path.name != "own.key"]
    assert kept
    assert not [path for path in kept if b"canary" in path.read_bytes()]


def test_no_stack_trace_repeats_a_secret(planted: str, tmp_path: Path) -> None:
    """With ``--debug`` each error is raised to the end, and a bug always is."""
    config = tmp_path / "gateway.toml"
    backend = '[[backend]]\nurl = "http://127.0.0.1:9"\nkey_env = "BROKEN"\n'
    config.write_text(f'[gateway]\nlimits_store = "env:STORE"\n{backend}')
    env = {**os.environ, "BROKEN": "canary\nkey", "STORE": "redis://u:canary@h/0?db=canary"}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    for command in (
        ("gateway", str(config)),
        ("doctor", "--endpoint", "http://ann:canary-login@127.0.0.1:9", "--key-env", "BROKEN"),
        ("adopt", "http://ann:canary-login@127.0.0.1:9"),
        ("adopt", "http://127.0.0.1:9", "--key-env", "BROKEN"),
    ):
        argv = [sys.executable, "-m", "stoker", "--debug", *command]
        ended = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert "Traceback" in ended.stderr
        printed = ended.stdout + ended.stderr
        # The words of the command line are the user's; what was in variables is not repeated.
        assert "canary" not in printed.replace(" ".join(command), "")
