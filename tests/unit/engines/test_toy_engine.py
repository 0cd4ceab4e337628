"""A new engine is one module and one row of ``engines.ENGINES``: no other file names it.

The module (``tests/support/toy_engine.py``) is copied into a package of its own, as another project
would ship it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from tests.support import contract_servers, toy_engine
from tests.unit.server.scripted_engine import PLAN

from stoker import engines
from stoker.application import HostFacts, LaunchRequest, choose
from stoker.engines import Options, PlacementRequest, ServedModel, placement
from stoker.engines.server_detection import recognise
from stoker.errors import UsageError
from stoker.host import Cpu, Host, Memory
from stoker.server.diagnosis import diagnose
from stoker.server.ports import any_free

MODULE = "toy_package.toy"
#: A program that embeds Stoker: the one row, and Stoker's own command line.
PROGRAM = f"""
from stoker import cli, engines
engines.ENGINES["toy"] = {MODULE!r}
cli.main()
"""
HOST = Host("Linux", "x86_64", Cpu("cpu", 8, 16), Memory(64 << 30, 48 << 30), hub_reachable=True)
MACHINE = HostFacts(HOST)
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 256,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder with the package that brings the engine."""
    folder = tmp_path / "elsewhere"
    (folder / "toy_package").mkdir(parents=True)
    shutil.copy(toy_engine.__file__, folder / "toy_package" / "toy.py")
    return folder


@pytest.fixture
def row(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine in the table, for the time of a test."""
    monkeypatch.syspath_prepend(package)
    monkeypatch.setitem(engines.ENGINES, "toy", MODULE)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A Hugging Face folder."""
    folder = tmp_path / "tiny-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    size = 400_000
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(size)
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.mark.usefixtures("row")
async def test_running_server_is_detected_and_its_models_are_discovered() -> None:
    entry = {"id": "bear", "owned_by": "toy", "max_model_len": 512}
    answers = {"GET /v1/models": {"data": [entry]}, "GET /toy": {"version": "1.2"}}
    async with TestServer(contract_servers.app(answers)) as server:
        found = await recognise(str(server.make_url("")))
    assert (found.backend.engine, found.version) == ("toy", "1.2")
    assert found.models == (ServedModel("bear", 512, tools="native"),)


@pytest.mark.usefixtures("row")
def test_it_is_planned_for_and_ranked_with_the_others(model: Path) -> None:
    choice = choose(LaunchRequest(model=str(model)), MACHINE)
    assert (choice.plan.engine, choice.plan.max_model_len) == ("toy", toy_engine.CONTEXT_TOKENS)
    every = choose(LaunchRequest(every_model=True), MACHINE)
    ranked = {plan.engine for plan in (*every.startable, *(b.plan for b in every.blocked))}
    assert ranked == {"toy", "llama.cpp"}  # there is no GPU for vLLM


@pytest.mark.usefixtures("row")
def test_what_it_cannot_read_is_refused_in_its_name() -> None:
    with pytest.raises(UsageError, match="toy can't serve") as refused:
        choose(LaunchRequest(model="qwen2.5-coder-0.5b-instruct-gguf", engine="toy"), MACHINE)
    assert "needs a Hugging Face folder" in refused.value.why


@pytest.mark.usefixtures("row")
def test_it_needs_no_place_of_its_own() -> None:
    assert placement.why_not_startable("toy", HOST) is None
    assert placement.place(replace(PLAN, engine="toy"), HOST, PlacementRequest()) == Options()


@pytest.mark.usefixtures("row")
def test_a_new_start_in_its_log_clears_the_failure_of_the_one_before() -> None:
    failed = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert diagnose([failed]) is not None
    assert diagnose([failed, "toy: unpacking"]) is None


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    return any_free()


@pytest.fixture
def up(package: Path, model: Path, port: int, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """``stoker up`` with the engine, in the foreground."""
    path = os.pathsep.join((str(package), *(folder for folder in sys.path if folder)))
    env = {**os.environ, "PYTHONPATH": path, "STOKER_HOME": str(tmp_path / "home")}
    words = ["up", str(model), "--engine", "toy", "--foreground", "--port", str(port), "--offline"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def asked(url: str, body: object = None) -> Any:
    """The JSON answered at ``url``."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


def until_ready(process: subprocess.Popen[str], gateway: str) -> None:
    """Wait until the gateway has the model, or fail with what the program printed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if asked(f"{gateway}/v1/models")["data"]:
                return
        time.sleep(0.1)
    process.kill()
    pytest.fail(process.communicate()[0])


def test_it_is_launched_as_a_child_and_answers_behind_the_gateway(
    up: subprocess.Popen[str], port: int
) -> None:
    gateway = f"http://127.0.0.1:{port}"
    until_ready(up, gateway)
    chat = {"model": "local", "messages": [{"role": "user", "content": "Hi"}]}
    answer = asked(f"{gateway}/v1/chat/completions", chat)
    assert answer["choices"][0]["message"]["content"] == toy_engine.SENTENCE
    up.send_signal(signal.SIGTERM)
    printed, _ = up.communicate(timeout=30)
    assert up.returncode == 0, printed
    phases = [line.split("  ")[1].strip() for line in printed.splitlines() if line.startswith("  ")]
    assert phases[-3:] == ["start", "unpack", "wind up"]
