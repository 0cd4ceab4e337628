"""llama.cpp that runs already is recognised and served through the gateway."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest
from tests.integration.conftest import Stoker

from stoker.engines.server_detection import recognise
from stoker.server.ports import any_free

pytestmark = pytest.mark.engine

KEY = "a-key-of-its-own"


def await_health(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2)
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError("llama.cpp did not start")


def command_lines() -> list[str]:
    """Those of all processes."""
    return [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]


def test_running_llama_cpp_is_recognised_adopted_and_missed_when_it_is_gone(
    stoker: Stoker, smollm2: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = any_free()
    url = f"http://127.0.0.1:{port}"
    spec = {"model": smollm2, "alias": "small", "port": port, "key": KEY}
    server = subprocess.Popen(
        [sys.executable, "-m", "stoker.engines.llama_cpp.llama_worker"],
        stdin=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    try:
        server.stdin.write(json.dumps({**spec, "arguments": {"n_ctx": 4096}}) + "\n")
        server.stdin.flush()
        await_health(url)
        found = asyncio.run(recognise(url, KEY))
        assert found.backend.engine == "llama.cpp"
        assert [(m.id, m.max_model_len, m.tools) for m in found.models] == [("small", 4096, "none")]
        assert "no tools" in found.warnings[0]
        assert "4,096 tokens" in found.warnings[-1]

        monkeypatch.setenv("LLAMA_KEY", KEY)
        done = stoker.run(
            "adopt", url, "--key-env", "LLAMA_KEY", "--port", str(stoker.port), "--json"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert KEY not in done.stdout
        kept = [file for file in stoker.home.rglob("*") if file.is_file()]
        assert not [file for file in kept if KEY.encode() in file.read_bytes()]
        assert not [argv for argv in command_lines() if KEY in argv]
        chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
        answer = stoker.post("/v1/chat/completions", {"model": "small", **chat})
        assert answer["usage"]["completion_tokens"] > 0
    finally:
        server.kill()
        server.wait()
    deadline = time.monotonic() + 30
    while stoker.status()["problem"] is None and time.monotonic() < deadline:
        time.sleep(0.5)
    assert "does not answer" in stoker.status()["problem"]
    assert stoker.run("down").returncode == 0
