"""A model drafts with its own head: the answers stay, and the memory is what was planned."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Stoker
from tests.integration.test_llama_layers import MIB, load_log
from tests.support.tiny_gguf import DRAFTING, TinyModel, write_tiny_gguf, writing_weights

from stoker.engines.base import Options, ProcessLaunch
from stoker.engines.llama_cpp import llama_launch
from stoker.engines.llama_cpp.llama_drafts import KIND, MTP, NUMBER, can_draft, draft_arguments
from stoker.engines.llama_cpp.llama_memory import LlamaCache, llama_kv_cache_bytes, llama_memory
from stoker.engines.llama_cpp.llama_plan import plan_llama
from stoker.host import Cpu, Host, Memory
from stoker.models.gguf_file import load
from stoker.planning import Candidate, Plan, Requirements

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"
    ),
]
GIB = 1024**3
HOST = Host("Linux", "x86_64", Cpu("any", 2, 2, avx2=True), Memory(32 * GIB, 24 * GIB))
KEY = "a-key-of-the-test"
each_architecture = pytest.mark.parametrize("model", DRAFTING, ids=lambda model: model.architecture)


@pytest.fixture
def path(model: TinyModel, tmp_path: Path) -> Path:
    return write_tiny_gguf(model, tmp_path, writing_weights(1))


def planned(path: Path, drafts: int) -> Plan:
    """The plan for two cores, which has no drafts, with so many."""
    requirements = Requirements(context=1024, parallel=2, named=True)
    plan = plan_llama(HOST, Candidate(load(path)), requirements)
    assert plan.argument(KIND) is None
    return plan.with_arguments(draft_arguments(drafts, "for the test"))


@contextmanager
def serving(plan: Plan) -> Iterator[str]:
    """The engine of a plan as Stoker starts it; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = llama_launch.launch(plan, port=port, key=KEY, options=Options())
    assert isinstance(launch, ProcessLaunch)
    process = subprocess.Popen(
        launch.argv,
        env={**os.environ, **launch.env},
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(launch.stdin or "")
    process.stdin.flush()
    try:
        yield address(process, port)
    finally:
        process.stdin.close()
        process.wait(30)


def address(process: subprocess.Popen[str], port: int) -> str:
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        assert process.poll() is None, "the engine has ended"
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return url
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError("the engine is not ready after 30 s")


def post(url: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "count": {"type": "integer"}},
    "required": ["name", "count"],
}
TOOL = {"type": "function", "function": {"name": "read", "parameters": SCHEMA}}
LONG = "".join(chr(97 + n * n % 26) for n in range(300))
#: Short, longer than a batch, going on from what a slot holds, and bound to a grammar.
COMPLETIONS: list[dict[str, Any]] = [
    {"prompt": "hello"},
    {"prompt": LONG, "id_slot": 0},
    {"prompt": f"{LONG}zz", "id_slot": 0},
    {"prompt": "value: ", "json_schema": SCHEMA, "ignore_eos": False},
]


def answers(plan: Plan) -> tuple[list[Any], int, int]:
    """The tokens at temperature 0, the drafts, and how many of those were right."""
    found, drafted, right = [], 0, 0
    with serving(plan) as url:
        for asked in COMPLETIONS:
            usual = {"n_predict": 60, "temperature": 0, "ignore_eos": True, "return_tokens": True}
            answer = post(url, "/completion", usual | asked)
            found.append(answer["tokens"])
            drafted += answer["timings"].get("draft_n", 0)
            right += answer["timings"].get("draft_n_accepted", 0)
        chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 60, "temperature": 0}
        answer = post(
            url, "/v1/chat/completions", chat | {"tools": [TOOL], "tool_choice": "required"}
        )
        found.append(answer["choices"][0]["message"])
    return found, drafted, right


@each_architecture
def test_the_answers_at_temperature_0_are_those_without_drafts(path: Path) -> None:
    without, none, _ = answers(planned(path, 0))
    drafting, drafted, right = answers(planned(path, 2))
    assert none == 0
    assert 0 < right < drafted
    assert drafting == without


@each_architecture
@pytest.mark.parametrize(("context", "parallel", "drafts"), [(2048, 2, 1), (4096, 1, 3)])
def test_the_cache_of_the_head_and_the_states_that_it_needs_are_as_planned(
    path: Path, context: int, parallel: int, drafts: int
) -> None:
    model = load(path)
    assert model.architecture is not None
    assert can_draft(model)
    arguments: dict[str, int | str] = {"n_ctx": context * parallel, "n_parallel": parallel}
    arguments |= {KIND: MTP, NUMBER: drafts}
    log = load_log(path, **arguments)
    sizes = [float(mib) for mib in re.findall(r"\b[KVRS] \((?:f16|f32)\): +([\d.]+) MiB", log)]
    cache = LlamaCache(context, parallel, 512, drafts=drafts)
    planned_bytes = llama_kv_cache_bytes(model.architecture, cache)
    # Two digits of each: keys and values of two caches, and two parts of the states.
    assert planned_bytes == pytest.approx(sum(sizes) * MIB, abs=6 * 0.005 * MIB)
    buffers = re.findall(r"CPU compute buffer size = +([\d.]+) MiB", log)
    overhead = llama_memory(model, cache, GIB).overhead_bytes
    assert len(buffers) >= 2
    assert max(map(float, buffers)) * MIB < overhead


@each_architecture
def test_the_head_is_loaded_only_to_draft(path: Path) -> None:
    model = load(path)
    mapped = [
        float(re.findall(r"CPU_Mapped model buffer size = +([\d.]+) MiB", log)[0])
        for log in (load_log(path, n_ctx=1024), load_log(path, n_ctx=1024, **{KIND: MTP}))
    ]
    assert model.mtp_head_bytes is not None
    assert mapped[1] - mapped[0] == pytest.approx(model.mtp_head_bytes / MIB, abs=0.011)


@each_architecture
def test_a_file_whose_head_was_left_out_is_not_taken_to_have_one(
    model: TinyModel, tmp_path: Path
) -> None:
    whole = load(write_tiny_gguf(model, tmp_path))
    without = load(write_tiny_gguf(headless(model), tmp_path))
    assert whole.architecture is not None
    assert without.architecture is not None
    assert (whole.has_mtp_head, without.has_mtp_head) == (True, False)
    assert without.architecture.attention == whole.architecture.attention
    assert "loading model" in load_log(tmp_path / f"tiny-{model.architecture}.gguf", n_ctx=1024)


def headless(model: TinyModel) -> TinyModel:
    """The model as ``convert_hf_to_gguf.py --no-mtp`` leaves it, but for the count of blocks."""
    *layers, head = model.layers
    rest = {name: shape for name, shape in head.items() if "nextn." not in name}
    return replace(model, layers=[*layers, rest])


def test_up_drafts_where_the_user_asks_for_it(stoker: Stoker, tmp_path: Path) -> None:
    path = write_tiny_gguf(DRAFTING[0], tmp_path, writing_weights(1))
    drafts = ("--engine-arg", f"{KIND}={MTP}", "--engine-arg", f"{NUMBER}=2")
    stoker.up(str(path), "--context", "1024", *drafts)
    body = {"model": "local", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 60}
    answer = stoker.post("/v1/chat/completions", body | {"temperature": 0})
    assert answer["timings"]["draft_n"] > 0
