"""llama.cpp and Stoker's gateway before it, for ``completion.py`` and ``completion_speed.py``."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from benchmarks import completion_recorder
from benchmarks.completion_recorder import Recorder
from tests.support import real_models

from stoker import engines, host
from stoker.engines import Backend
from stoker.engines.llama_cpp.llama_batch import batch_on_cpu
from stoker.gateway import Gateway, Served
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.models import find_known_model
from stoker.server.ports import any_free

_READY_S = 120.0
#: What llama.vscode's README gives for this model on a CPU (-b, -ub, --cache-reuse), with a window
#: that holds all that either way sends.
_CONTEXT, _BATCH, _CACHE_REUSE = 16384, 1024, 256
_SERVE = """
import json, sys, time, xllamacpp
wanted = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path = wanted.pop("model")
params.hostnames = ["127.0.0.1"]
for name, value in wanted.items():
    setattr(params, name, value)
server = xllamacpp.Server(params)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Served2Ways:
    """The engine itself, and the gateway before it."""

    engine_url: str
    gateway_url: str
    model: str


@dataclass(frozen=True, slots=True)
class Reading:
    """How the engine reads a prompt: llama.cpp's ``n_batch`` and ``n_cache_reuse``."""

    n_batch: int = _BATCH
    n_cache_reuse: int = _CACHE_REUSE


def reading_of_stoker() -> Reading:
    """As ``stoker up`` starts the engine on this machine."""
    file = real_models.qwen()
    known, variant = find_known_model("qwen2.5-coder-0.5b")
    model = replace(known.model(variant), weights_bytes=file.stat().st_size)
    cpu = host.detect(file.parent, ask_hub=False).cpu
    return Reading(batch_on_cpu(cpu, model).n_batch, n_cache_reuse=0)


@contextmanager
def served(
    port: int | None = None, recorder: Recorder | None = None, reading: Reading | None = None
) -> Iterator[Served2Ways]:
    """Qwen2.5-Coder-0.5B on llama.cpp, with one slot, for the length of the block.

    With a ``recorder``, that stands before it and takes what would be generated.
    """
    with ExitStack() as stack:
        started = _engine(real_models.qwen(), port or any_free(), reading or Reading())
        backend = stack.enter_context(started)
        if recorder is not None:
            url = stack.enter_context(completion_recorder.between(backend.url, recorder))
            backend = Backend(url, "llama.cpp")
        url = stack.enter_context(_gateway(backend))
        model = _model(url)
        _let_it_learn(url, model)
        yield Served2Ways(backend.url, url, model)


@contextmanager
def _engine(model: Path, port: int, reading: Reading) -> Iterator[Backend]:
    wanted = {
        "model": str(model),
        "port": port,
        "n_ctx": _CONTEXT,
        "n_parallel": 1,
        "n_batch": reading.n_batch,
        "n_ubatch": reading.n_batch,
        "n_cache_reuse": reading.n_cache_reuse,
    }
    # Its log goes nowhere: a pipe that nobody reads would stop it.
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, json.dumps(wanted)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url, process)
        yield Backend(url, "llama.cpp")
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("The engine did not become ready.")


@contextmanager
def _gateway(backend: Backend) -> Iterator[str]:
    """A gateway in a thread of this process."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        gateway = Gateway()
        runner = gateway.runner()
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as http:
            found = await engines.server_client(backend.engine).discover(http, backend)
        gateway.serve([Served(backend, found, FitSettings(), is_ours=True)])
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        started.set()
        await stop.wait()
        await runner.cleanup()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    if not started.wait(_READY_S):
        raise RuntimeError("The gateway did not start.")
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=30)


def _let_it_learn(url: str, model: str) -> None:
    """The gateway learns the model's form with the first request, which a busy engine may fail."""
    first = {"model": model, "prompt": "a", "suffix": "b", "max_tokens": 1}
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            post(f"{url}/v1/completions", first)
            return
        except urllib.error.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _model(url: str) -> str:
    with urllib.request.urlopen(f"{url}/v1/models", timeout=30) as answer:
        name: str = json.load(answer)["data"][0]["id"]
    return name


def post(url: str, body: dict[str, Any], within_s: float = 600.0) -> dict[str, Any]:
    """Send JSON and return the answer's."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=within_s) as answer:
        result: dict[str, Any] = json.load(answer)
    return result
