"""vLLM as a process: up, chat, killed and back, down; and one that runs already, adopted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import aiohttp
import psutil
import pytest
from tests.integration import engine_doors
from tests.integration.conftest import Stoker
from tests.support import vllm_cpu

from stoker import engines
from stoker.engines import Backend
from stoker.engines.server_detection import recognise

pytestmark = pytest.mark.vllm

CHAT = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
#: Those that vLLM's own check of the key leaves open, and some that it guards.
ROUTES = (
    *("/invocations", "/tokenize", "/detokenize", "/metrics", "/version", "/ping", "/load"),
    *("/docs", "/openapi.json", "/server_info", "/sleep", "/scale_elastic_ep", "/pooling"),
    *("/v1/models", "/v1/chat/completions", "/inference/v1/generate"),
)
_START_S = 400.0


def wait_for(what: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if what():
                return True
        except (OSError, psutil.Error, AssertionError, urllib.error.URLError):
            pass
        time.sleep(0.3)
    return False


def lives(process: psutil.Process) -> bool:
    """Whether it runs. A zombie does not."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def start(stoker: Stoker, *args: str) -> str:
    """``stoker up`` on vLLM's CPU build; what it printed."""
    here = vllm_cpu.installed()
    done = stoker.run(
        *("up", "--port", str(stoker.port), "--offline", "--engine", "vllm"),
        *("--python", here.python, "--engine-arg", "enforce-eager=true", *args, str(here.model)),
        timeout=_START_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_up_with_a_context_that_does_not_fit_starts_once_more_and_is_brought_back_when_killed(
    stoker: Stoker,
) -> None:
    # Room for about 2,000 tokens: the 8,192 that Stoker chose can't be, and vLLM reports what can.
    out = start(stoker, "--engine-arg", "kv-cache-memory-bytes=50000000")
    assert stoker.endpoint in out
    status = stoker.status()
    assert (status["status"], status["engine"]) == ("ready", "vllm")
    assert 1000 < status["max_model_len"] < 8192
    assert status["engine_memory_bytes"] > 500 << 20
    log = stoker.run("logs").stdout
    assert "starting once more with max-model-len" in log

    answer = stoker.post("/v1/chat/completions", {"model": status["model"], **CHAT}, timeout=120)
    assert answer["usage"]["completion_tokens"] > 0

    first = stoker.engine()
    assert not engine_doors.reachable_from_outside(first)
    assert not engine_doors.answers_without_a_key(first, ROUTES)
    os.killpg(first.pid, signal.SIGSTOP)
    assert wait_for(lambda: "is frozen" in (stoker.status()["problem"] or ""), 20)
    os.killpg(first.pid, signal.SIGCONT)
    assert wait_for(lambda: stoker.status()["problem"] is None, 20)
    assert stoker.post("/v1/chat/completions", {"model": status["model"], **CHAT}, timeout=120)

    for process in [first, *first.children(recursive=True)]:
        process.kill()
    assert wait_for(lambda: stoker.status()["status"] == "restarting", 30)
    assert wait_for(lambda: stoker.status()["status"] == "ready", _START_S)
    assert stoker.engine().pid != first.pid
    assert stoker.status()["restarts"] == 1

    second = stoker.engine()
    family = [second, *second.children(recursive=True)]
    assert stoker.run("down").returncode == 0
    assert not [process for process in family if lives(process)]
    assert stoker.status() == {"status": "stopped"}


@pytest.mark.parametrize("keep", [False, True])
def test_ctrl_c_while_it_starts(stoker: Stoker, keep: bool) -> None:
    here = vllm_cpu.installed()
    up = subprocess.Popen(
        [sys.executable, "-m", "stoker", "up", "--port", str(stoker.port), "--offline"]
        + ["--engine", "vllm", "--python", here.python, str(here.model)]
        + (["--keep"] if keep else []),
        env={**os.environ, "STOKER_HOME": str(stoker.home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert wait_for(lambda: bool(stoker.status().get("engine_pid")), 60)
    engine, supervisor = stoker.engine(), stoker.supervisor()
    up.send_signal(signal.SIGINT)
    out, _ = up.communicate(timeout=60)
    assert up.returncode != 0
    if keep:
        assert "continues in the background" in out
        assert stoker.status()["status"] == "starting"
        assert stoker.run("down").returncode == 0
    else:
        assert "nothing is left running" in out
    assert stoker.status() == {"status": "stopped"}
    assert not lives(engine)
    assert not lives(supervisor)


async def counted(url: str) -> int:
    chat = {"model": "smollm2", "messages": CHAT["messages"]}
    async with aiohttp.ClientSession() as http:
        return await engines.server_client("vllm").count(http, Backend(url, "vllm"), chat)


def test_running_vllm_is_recognised_counted_and_adopted(stoker: Stoker, tmp_path: Path) -> None:
    with vllm_cpu.running(tmp_path / "vllm.log", vllm_cpu.plan()) as url:
        found = asyncio.run(recognise(url))
        assert (found.backend.engine, found.version) == ("vllm", "0.32.0")
        assert [(m.id, m.max_model_len) for m in found.models] == [("smollm2", 2048)]
        assert "without a tool parser" in found.warnings[0]

        done = stoker.run("adopt", url, "--port", str(stoker.port), "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        adopted = json.loads(done.stdout)
        assert (adopted["engine"], adopted["endpoint"]) == ("vllm", stoker.endpoint)
        answer = stoker.post("/v1/chat/completions", {"model": "smollm2", **CHAT}, timeout=120)
        assert answer["usage"]["prompt_tokens"] == asyncio.run(counted(url))

        assert stoker.run("down").returncode == 0
        with urllib.request.urlopen(f"{url}/health", timeout=30) as health:
            assert health.status == 200, "an adopted server is not stopped"
