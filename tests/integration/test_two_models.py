"""A chat model and a completion model in one ``stoker up``, with the real engine."""

from __future__ import annotations

import sys
import time
import urllib.error
from typing import Any

import psutil
import pytest
from tests.integration.conftest import Stoker
from tests.integration.test_up_and_down import processes_of, wait_until

pytestmark = pytest.mark.engine

UP = ("--context", "1024", "--parallel", "2")
HI = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
BETWEEN = {"input_prefix": "def add(a, b):\n    return ", "input_suffix": "\n", "n_predict": 4}


def both(stoker: Stoker, chat: str, completion: str) -> None:
    """Start both and wait until both are ready."""
    answer = stoker.up(chat, *UP, "--completion", completion)
    assert answer["first_answer"].strip() is not None
    assert answer["completion_model"]
    assert wait_until(lambda: completion_of(stoker)["status"] == "ready", 60)


def completion_of(stoker: Stoker) -> dict[str, Any]:
    found: dict[str, Any] = stoker.status()["completion"]
    return found


def chat_model(stoker: Stoker) -> str:
    return str(stoker.post("/v1/chat/completions", HI)["model"])


def completing_model(stoker: Stoker) -> str:
    return str(stoker.post("/infill", BETWEEN)["model"])


def test_both_answer_and_each_is_what_it_is_for(
    stoker: Stoker, smollm2: str, quick_qwen: str
) -> None:
    both(stoker, smollm2, quick_qwen)
    status = stoker.status()
    assert status["engine_pid"] != status["completion"]["engine_pid"]
    assert status["completion"]["engine_memory_bytes"] > 10 << 20
    assert chat_model(stoker) == status["model"]
    assert completing_model(stoker) == status["completion"]["served_name"]
    shown = stoker.run("status").stdout
    assert f"Completion ready: {status['completion']['model']} on llama.cpp" in shown
    own_log = stoker.run("logs", "--completion").stdout
    assert "engine llama.cpp started as process" in own_log
    assert own_log not in stoker.run("logs").stdout
    stoker.run("down")
    assert processes_of(stoker.home) == []


def test_a_killed_completion_engine_comes_back_and_the_chat_does_not_notice(
    stoker: Stoker, smollm2: str, quick_qwen: str
) -> None:
    both(stoker, smollm2, quick_qwen)
    before = stoker.status()
    psutil.Process(before["completion"]["engine_pid"]).kill()
    assert chat_model(stoker) == before["model"]
    assert wait_until(lambda: completion_of(stoker)["restarts"] == 1)
    assert wait_until(lambda: completion_of(stoker)["status"] == "ready")
    after = stoker.status()
    assert (after["engine_pid"], after["restarts"]) == (before["engine_pid"], 0)
    assert answered_within(completing_model, stoker) == before["completion"]["served_name"]


def test_a_killed_chat_engine_comes_back_and_completion_does_not_notice(
    stoker: Stoker, smollm2: str, quick_qwen: str
) -> None:
    both(stoker, smollm2, quick_qwen)
    before = stoker.status()
    stoker.engine().kill()
    assert completing_model(stoker) == before["completion"]["served_name"]
    assert wait_until(lambda: stoker.status()["restarts"] == 1)
    # Until it is back, no other model answers in its place.
    assert answered_within(chat_model, stoker) == before["model"]
    assert completion_of(stoker)["engine_pid"] == before["completion"]["engine_pid"]


def test_nothing_is_left_when_the_supervisor_is_killed(
    stoker: Stoker, smollm2: str, quick_qwen: str
) -> None:
    both(stoker, smollm2, quick_qwen)
    if sys.platform == "linux":  # as while a chat's first token is waited for
        psutil.Process(completion_of(stoker)["engine_pid"]).suspend()
    stoker.supervisor().kill()
    assert wait_until(lambda: processes_of(stoker.home) == [])
    assert completion_of(stoker)["status"] == "dead"
    assert stoker.run("down").returncode == 0


def test_the_chats_model_completes_in_a_slot_of_its_own(stoker: Stoker, quick_qwen: str) -> None:
    stoker.up(quick_qwen, *UP, "--completion", quick_qwen)
    status = stoker.status()
    assert status["completion"] is None and status["parallel"] == 3
    assert stoker.post("/infill", BETWEEN)["id_slot"] == 0
    assert stoker.post("/v1/chat/completions", HI)["usage"]["completion_tokens"] == 4
    assert stoker.post("/infill", BETWEEN)["id_slot"] == 0


def answered_within(ask: Any, stoker: Stoker, within_s: float = 30.0) -> str:
    """The answer, which an engine that is being restarted may refuse for a while."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return str(ask(stoker))
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
