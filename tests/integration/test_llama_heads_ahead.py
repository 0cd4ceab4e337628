"""The head of the last conversation is read before the next one asks, also by another model."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.conftest import Stoker
from tests.support import real_models
from tests.support.one_layer import one_layer_gguf

pytestmark = pytest.mark.engine
#: About 1,800 tokens.
RULES = "".join(f"Rule {n}: answer topic {n * 7}, then read file {n * 13}.\n" for n in range(100))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("one-layer")
    return [
        str(one_layer_gguf(path, folder)) for path in (real_models.smollm2(), real_models.qwen())
    ]


def read_tokens(stoker: Stoker, question: str) -> int:
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": question}]
    body = {"model": "local", "messages": messages, "max_tokens": 4}
    usage: dict[str, Any] = stoker.post("/v1/chat/completions", body)["usage"]
    return int(usage["prompt_tokens"]) - int(usage["prompt_tokens_details"]["cached_tokens"])


def wait_for(condition: Callable[[], object], within_s: float = 90) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def log(stoker: Stoker) -> str:
    return (stoker.home / "log/stoker.log").read_text()


def test_after_a_change_of_the_model_the_head_is_read_before_it_is_asked_for(
    stoker: Stoker, models: list[str]
) -> None:
    first, second = models
    stoker.up(first, "--context", "8192")
    assert read_tokens(stoker, "What is the first rule?") > 1500
    kept = stoker.home / "state/heads.json"
    wait_for(kept.exists)
    assert kept.stat().st_mode & 0o777 == 0o600
    stoker.run("down")

    stoker.up(second, "--context", "8192")
    wait_for(lambda: re.search(r"read \d+ tokens ahead", log(stoker)))
    assert read_tokens(stoker, "And what is the last one about?") < 50
    assert "Rule 1" not in log(stoker)
