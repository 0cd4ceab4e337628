"""Conversations that begin alike keep what was read of each, in fewer slots than there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Stoker
from tests.support import real_models
from tests.support.one_layer import one_layer_gguf

pytestmark = pytest.mark.engine
#: About 1,800 tokens, which all conversations share, and 600 of a first question.
RULES = "".join(f"Rule {n}: answer topic {n * 7}, then read file {n * 13}.\n" for n in range(100))
QUESTIONS = ("river", "mountain", "forest")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return one_layer_gguf(real_models.smollm2(), tmp_path_factory.mktemp("one-layer"))


def question(about: str) -> str:
    return " ".join(f"{about} {number}" for number in range(150))


def ask(stoker: Stoker, system: str, *user_text: str) -> int:
    """The tokens that were read of a conversation's next request."""
    messages = [{"role": "system", "content": system}]
    messages += [{"role": "user", "content": each} for each in user_text]
    body = {"model": "local", "messages": messages, "max_tokens": 4, "temperature": 0}
    usage: dict[str, Any] = stoker.post("/v1/chat/completions", body)["usage"]
    cached: int = usage["prompt_tokens_details"]["cached_tokens"]
    return int(usage["prompt_tokens"]) - cached


def test_three_conversations_in_turn_over_two_slots_read_only_what_is_new(
    stoker: Stoker, model: Path
) -> None:
    stoker.up(str(model), "--context", "8192", "--parallel", "2")
    first = [ask(stoker, RULES, question(about)) for about in QUESTIONS]
    assert first[0] > 1800
    assert max(first[1:]) < 1000  # the head was read once
    again = [ask(stoker, RULES, question(about), "And now?") for about in QUESTIONS]
    assert max(again) < 100


def test_a_conversation_that_was_cut_stays_in_its_slot(stoker: Stoker, model: Path) -> None:
    stoker.up(str(model), "--context", "8192", "--parallel", "2")
    ask(stoker, RULES, question("river"))
    ask(stoker, "Be brief.", "Hi")
    assert ask(stoker, RULES, question("river"), question("valley")) < 1000
