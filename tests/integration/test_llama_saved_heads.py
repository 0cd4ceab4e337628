"""What llama.cpp has read is there after its end, and nothing that was altered is trusted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.integration.conftest import Stoker
from tests.support import real_models
from tests.support.one_layer import one_layer_gguf

pytestmark = pytest.mark.engine
#: About 1,800 tokens.
RULES = "".join(f"Rule {n}: answer topic {n * 7}, then read file {n * 13}.\n" for n in range(100))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return one_layer_gguf(real_models.smollm2(), tmp_path_factory.mktemp("one-layer"))


def ask(stoker: Stoker, question: str, rules: str = RULES) -> dict[str, Any]:
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": question}]
    body = {"model": "local", "messages": messages, "max_tokens": 8, "temperature": 0}
    return stoker.post("/v1/chat/completions", body)


def read_tokens(answer: dict[str, Any]) -> int:
    usage = answer["usage"]
    cached: int = usage["prompt_tokens_details"]["cached_tokens"]
    return int(usage["prompt_tokens"]) - cached


def saved(stoker: Stoker) -> list[Path]:
    return list((stoker.home / "cache/prompts").glob("*/*.slot"))


def manifest(stoker: Stoker) -> bytes:
    (path,) = (stoker.home / "cache/prompts").glob("*/manifest.json")
    return path.read_bytes()


def wait_for(condition: Callable[[], object], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_head_of_a_new_conversation_is_not_read_again_after_down_and_up(
    stoker: Stoker, model: Path
) -> None:
    stoker.up(str(model), "--context", "8192")
    assert read_tokens(ask(stoker, "What is the first rule?")) > 1500
    stoker.run("down")
    (file,) = saved(stoker)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    stoker.up(str(model), "--context", "8192")
    assert stoker.status()["prefill"]["restored_tokens"] > 1500
    assert read_tokens(ask(stoker, "And what is the last one about?")) < 50


def test_a_killed_deployment_is_warm_again_and_an_altered_file_is_not_trusted(
    stoker: Stoker, model: Path
) -> None:
    stoker.up(str(model), "--context", "8192")
    cold = ask(stoker, "What is the first rule?")
    wait_for(lambda: saved(stoker) and b"head" in manifest(stoker))
    stoker.supervisor().kill()
    stoker.run("down")

    stoker.up(str(model), "--context", "8192")
    assert read_tokens(ask(stoker, "What is the first rule?")) < 50
    stoker.run("down")
    with saved(stoker)[0].open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))

    stoker.up(str(model), "--context", "8192")
    assert stoker.status()["prefill"]["restored_tokens"] == 0
    again = ask(stoker, "What is the first rule?")
    assert read_tokens(again) > 1500
    assert again["choices"][0]["message"] == cold["choices"][0]["message"]


#: About 600 tokens. With 30 layers the file has 14 MB, so that writing it takes a while.
FEW_RULES = RULES[: len(RULES) // 3]


def kill_all_of(stoker: Stoker) -> None:
    """``kill -9``: the engine, the supervisor, and a command that waits for them."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("STOKER_HOME") == str(stoker.home):
                process.kill()
        except psutil.Error:  # it has ended, or is another user's
            continue


def in_the_background(stoker: Stoker, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "stoker", *args],
        env={**os.environ, "STOKER_HOME": str(stoker.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def answers_as_before(stoker: Stoker, model: str, cold: dict[str, Any]) -> int:
    """It starts, and what it has not restored it reads; how many tokens it has restored."""
    stoker.run("down")
    stoker.up(model, "--context", "8192")
    restored: int = stoker.status()["prefill"]["restored_tokens"]
    again = ask(stoker, "What is the first rule?", FEW_RULES)
    if restored:
        assert read_tokens(again) < 50
    else:
        assert read_tokens(again) == read_tokens(cold)
        assert again["choices"][0]["message"] == cold["choices"][0]["message"]
    return restored


def test_kill_9_in_the_middle_of_a_save_and_of_a_restore(stoker: Stoker, smollm2: str) -> None:
    stoker.up(smollm2, "--context", "8192")
    cold = ask(stoker, "What is the first rule?", FEW_RULES)
    prompts = stoker.home / "cache/prompts"
    saving = in_the_background(stoker, "down")
    while saving.poll() is None and not any(f.suffix != ".json" for f in prompts.glob("*/*")):
        time.sleep(0.0005)
    kill_all_of(stoker)
    saving.wait()
    answers_as_before(stoker, smollm2, cold)

    stoker.run("down")
    before = manifest(stoker)
    assert b"head" in before
    restoring = in_the_background(
        stoker, "up", smollm2, "--context", "8192", "--offline", "--port", str(stoker.port)
    )
    while restoring.poll() is None and manifest(stoker) == before:
        time.sleep(0.0005)
    kill_all_of(stoker)
    restoring.wait()
    answers_as_before(stoker, smollm2, cold)
