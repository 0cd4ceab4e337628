"""Counts are exact and every request fits, through the gateway, with the real llama.cpp."""

from __future__ import annotations

import itertools
import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from tests.fixtures.agent import agent_request, growing_conversation
from tests.integration.conftest import Stoker
from tests.integration.conversations import conversations

pytestmark = pytest.mark.engine

QWEN = "qwen2.5-coder-0.5b"
ONE_TOKEN = {"model": None, "stream": False, "max_tokens": 1}


def counted(stoker: Stoker, request: dict[str, Any]) -> int:
    return int(stoker.post("/tokenize", request)["count"])


def used(stoker: Stoker, request: dict[str, Any]) -> int:
    answer = stoker.post("/v1/chat/completions", {**request, "max_tokens": 1}, timeout=300)
    return int(answer["usage"]["prompt_tokens"])


def test_300_conversations_count_before_as_the_engine_counts_after(
    stoker: Stoker, smollm2: str
) -> None:
    stoker.up(smollm2, "--context", "4096", "--parallel", "1")
    wrong = [
        (index, before, after)
        for index, request in enumerate(conversations(300, tools=True))
        if (before := counted(stoker, request)) != (after := used(stoker, request))
    ]
    assert wrong == []


def test_conversations_with_the_model_s_own_tools_count_exactly(stoker: Stoker) -> None:
    stoker.up(QWEN, "--context", "8192", "--parallel", "1")
    wrong = [
        (index, before, after)
        for index, request in enumerate(conversations(40, tools=True))
        if (before := counted(stoker, request)) != (after := used(stoker, request))
    ]
    assert wrong == []


@pytest.mark.parametrize("window", [2048, 4096, 8192])
def test_thirty_agent_turns_are_all_accepted(stoker: Stoker, smollm2: str, window: int) -> None:
    stoker.up(smollm2, "--context", str(window), "--parallel", "1")
    for turn in growing_conversation(30):
        request = {**turn, **ONE_TOKEN}
        answer = stoker.post("/v1/chat/completions", request, timeout=300)
        assert answer["usage"]["prompt_tokens"] < window


def test_the_prefix_of_one_turn_is_read_again_from_the_cache_in_the_next(
    stoker: Stoker, smollm2: str
) -> None:
    stoker.up(smollm2, "--context", "8192", "--parallel", "1")
    shares = []
    for turn in itertools.islice(growing_conversation(30), 12):
        request = {**turn, **ONE_TOKEN}
        usage = stoker.post("/v1/chat/completions", request, timeout=300)["usage"]
        shares.append(usage["prompt_tokens_details"]["cached_tokens"] / usage["prompt_tokens"])
    assert sum(shares[1:]) / len(shares[1:]) > 0.8


def test_a_max_tokens_over_the_window_is_clamped_not_refused(stoker: Stoker, smollm2: str) -> None:
    stoker.up(smollm2, "--context", "1024", "--parallel", "1")
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100_000}
    body["stop"] = ["a", "e", "i"]
    assert stoker.post("/v1/chat/completions", body)["usage"]["prompt_tokens"] < 1024


def test_a_last_message_that_can_not_fit_is_refused_with_the_number_of_tokens(
    stoker: Stoker, smollm2: str
) -> None:
    stoker.up(smollm2, "--context", "1024", "--parallel", "1")
    body = {"messages": [{"role": "user", "content": "word " * 3000}]}
    with pytest.raises(urllib.error.HTTPError) as refused:
        stoker.post("/v1/chat/completions", body)
    problem = json.load(refused.value)["error"]
    assert refused.value.code == 400
    assert problem["code"] == "context_length_exceeded"
    assert "tokens too long" in problem["message"]


def test_a_fit_can_be_looked_at_before_anything_is_sent(stoker: Stoker, smollm2: str) -> None:
    stoker.up(smollm2, "--context", "4096", "--parallel", "1")
    shown = stoker.post("/fit", {**agent_request(), "model": None})
    assert shown["cuts"]["tools_dropped"]
    assert shown["prompt_tokens"] <= 4096 - 1024


def test_without_the_fitter_the_engine_refuses_what_it_would_have_made_fit(
    stoker: Stoker, smollm2: str
) -> None:
    stoker.up(smollm2, "--context", "2048", "--parallel", "1")
    request = urllib.request.Request(
        stoker.endpoint + "/v1/chat/completions",
        json.dumps({**agent_request(), "model": None, "stream": False}).encode(),
        {"Content-Type": "application/json", "x-stoker-fit": "off"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 400


def test_the_right_tool_is_called_when_a_folder_is_to_be_listed(stoker: Stoker) -> None:
    stoker.up(QWEN)
    right = 0
    for seed in range(20):
        request = {**agent_request("list the files in src"), "model": None, "stream": False}
        request |= {"seed": seed, "max_tokens": 120}
        answer = stoker.post("/v1/chat/completions", request, timeout=300)
        calls = answer["choices"][0]["message"].get("tool_calls") or []
        right += bool(calls) and calls[0]["function"]["name"] == "list_dir"
    assert right >= 18
