"""``stoker up`` and ``down`` with the real engine, as a person uses them."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest
from tests.integration import engine_doors
from tests.integration.conftest import Stoker

pytestmark = pytest.mark.engine

#: llama.cpp's own routes (tools/server/server.cpp), but for ``/health``.
ROUTES = (
    *("/v1/models", "/models", "/api/tags", "/api/show", "/api/chat", "/props", "/slots"),
    *("/slots/0?action=save", "/metrics", "/completion", "/completions", "/v1/completions"),
    *("/chat/completions", "/v1/chat/completions", "/v1/messages", "/v1/responses", "/infill"),
    *("/embedding", "/v1/embeddings", "/rerank", "/tokenize", "/detokenize", "/apply-template"),
    *("/lora-adapters", "/models/load", "/models/unload", "/tools", "/cors-proxy"),
)
UP = ("--context", "1024", "--parallel", "2")


def wait_until(condition, timeout_s: float = 30.0) -> bool:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _is_ready_again(stoker: Stoker, old: psutil.Process) -> bool:
    """Asked of one status: of two, the first may be before the crash and the second after it."""
    status = stoker.status()
    return bool(status["status"] == "ready" and status["engine_pid"] != old.pid)


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that was started for this home, found by its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("STOKER_HOME") == str(home):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_up_ends_with_an_answered_chat(stoker: Stoker, smollm2: str) -> None:
    answer = stoker.up(smollm2, *UP)
    assert answer["first_answer"].strip()
    assert answer["max_model_len"] == 1024
    assert answer["vscode_settings"] == {"huggingface.customTGIEndpoint": stoker.endpoint}
    listed = stoker.status()
    assert listed["status"] == "ready"
    assert not engine_doors.reachable_from_outside(stoker.engine())
    assert engine_doors.answers_without_a_key(stoker.engine(), ("/health",))
    assert not engine_doors.answers_without_a_key(stoker.engine(), ROUTES)


def test_up_twice_is_one_deployment(stoker: Stoker, smollm2: str) -> None:
    stoker.up(smollm2, *UP)
    first = stoker.status()
    stoker.up(smollm2, *UP)
    assert stoker.status()["engine_pid"] == first["engine_pid"]


def test_another_plan_needs_replace(stoker: Stoker, smollm2: str) -> None:
    stoker.up(smollm2, *UP)
    first = stoker.status()
    refused = stoker.run("up", smollm2, "--port", str(stoker.port), "--offline", "--context", "512")
    assert refused.returncode == 1
    assert "context 1024 -> 512" in refused.stderr
    assert "--replace" in refused.stderr
    assert stoker.status()["engine_pid"] == first["engine_pid"]
    stoker.up(smollm2, "--context", "512", "--parallel", "2", "--replace")
    assert stoker.status()["max_model_len"] == 512
    assert not psutil.pid_exists(first["engine_pid"])


def test_a_killed_engine_comes_back(stoker: Stoker, smollm2: str) -> None:
    stoker.up(smollm2, *UP)
    old = stoker.engine()
    old.kill()
    assert wait_until(lambda: _is_ready_again(stoker, old))
    assert stoker.status()["restarts"] == 1
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    assert stoker.post("/v1/chat/completions", body)["usage"]["completion_tokens"] == 4


def test_an_engine_that_keeps_crashing_is_given_up_with_its_reason(
    stoker: Stoker, smollm2: str
) -> None:
    stoker.up(smollm2, *UP)
    supervisor = stoker.supervisor()
    killed: set[int] = set()

    def given_up() -> bool:
        status = stoker.status()
        pid = status["engine_pid"]
        if status["status"] == "ready" and pid not in killed:
            killed.add(pid)
            psutil.Process(pid).kill()
        return bool(status["status"] == "failed")

    assert wait_until(given_up, timeout_s=60)
    assert len(killed) == 4
    assert "SIGKILL" in stoker.status()["problem"]
    assert wait_until(lambda: not supervisor.is_running())
    assert processes_of(stoker.home) == []


def test_down_cleans_up_after_a_killed_supervisor(stoker: Stoker, smollm2: str) -> None:
    stoker.up(smollm2, *UP)
    engine = stoker.engine()
    stoker.supervisor().kill()
    # The engine ends by itself: its standard input ended with the supervisor.
    assert wait_until(lambda: not engine.is_running(), timeout_s=5)
    assert stoker.status()["status"] == "dead"
    assert stoker.run("down").returncode == 0
    assert stoker.status()["status"] == "stopped"
    assert processes_of(stoker.home) == []


def test_a_process_number_that_now_belongs_to_another_program_is_not_signalled(
    stoker: Stoker, smollm2: str
) -> None:
    stoker.up(smollm2, *UP)
    status = stoker.status()
    stoker.supervisor().kill()
    state = stoker.home / "state" / "deployment.json"
    # As after a reboot: the written numbers are now those of an innocent program.
    text = state.read_text()
    for pid in (status["supervisor_pid"], status["engine_pid"]):
        text = text.replace(f'"pid":{pid}', f'"pid":{os.getpid()}')
    state.write_text(text)
    signalled: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: signalled.append(number))
    try:
        assert stoker.run("down").returncode == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signalled == []
    assert stoker.status()["status"] == "stopped"


def test_a_taken_port_is_named_with_the_next_free_one(stoker: Stoker, smollm2: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", stoker.port))
        other.listen()
        refused = stoker.run("up", smollm2, "--port", str(stoker.port), "--offline")
    assert refused.returncode == 1
    assert f"Port {stoker.port} is taken" in refused.stderr
    assert f"(pid {os.getpid()})" in refused.stderr
    assert "--port" in refused.stderr
    assert processes_of(stoker.home) == []


def test_ten_times_up_and_down_leave_nothing(stoker: Stoker, smollm2: str) -> None:
    for _ in range(10):
        stoker.up(smollm2, *UP)
        assert stoker.run("down").returncode == 0
        assert processes_of(stoker.home) == []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", stoker.port))
    left = {p.name for p in (stoker.home / "state").iterdir()}
    assert not any(name.startswith("deployment.json") for name in left)


def test_a_supervisor_keeps_no_descriptor_of_an_engine_that_ended(
    stoker: Stoker, smollm2: str
) -> None:
    stoker.up(smollm2, *UP)
    supervisor = stoker.supervisor()
    before = supervisor.num_fds()
    old = stoker.engine()
    old.kill()
    assert wait_until(lambda: _is_ready_again(stoker, old))
    assert wait_until(lambda: supervisor.num_fds() <= before + 1, timeout_s=5)


def test_a_foreground_supervisor_stops_on_ctrl_c(stoker: Stoker, smollm2: str) -> None:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "stoker", "up", smollm2, "--foreground", "--offline"),
            *("--port", str(stoker.port), *UP),
        ],
        env={**os.environ, "STOKER_HOME": str(stoker.home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert wait_until(lambda: stoker.status()["status"] == "ready")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 0
    assert wait_until(lambda: processes_of(stoker.home) == [], timeout_s=2)
