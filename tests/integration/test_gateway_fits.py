"""Counts are exact and every request fits, through the gateway, with the real llama.cpp."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from tests.fixtures.agent import agent_request
from tests.integration.conftest import Stoker
from tests.integration.conversations import conversations, unusual_conversations
from tests.integration.promises import (
    WINDOWS,
    agent_turns_are_accepted,
    counts_are_exact,
)

pytestmark = pytest.mark.engine

QWEN = "qwen2.5-coder-0.5b"


@pytest.mark.parametrize("model", ["quick_smollm2", "quick_qwen"])
def test_200_conversations_count_before_as_the_engine_counts_after(
    stoker: Stoker, request: pytest.FixtureRequest, model: str
) -> None:
    stoker.up(request.getfixturevalue(model), "--context", "8192", "--parallel", "1")
    counts_are_exact(stoker, [*conversations(100, tools=True), *unusual_conversations(100)])


@pytest.mark.parametrize("window", WINDOWS)
def test_thirty_agent_turns_are_all_accepted(stoker: Stoker, quick_qwen: str, window: int) -> None:
    stoker.up(quick_qwen, "--context", str(window), "--parallel", "1")
    used = agent_turns_are_accepted(stoker, window)
    if window == 8192:  # one run serves both: most of each turn is read from the prefix cache
        read = [u["prompt_tokens_details"]["cached_tokens"] / u["prompt_tokens"] for u in used[1:]]
        assert sum(read) / len(read) > 0.8


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
    called: dict[int, list[str]] = {}
    for seed in range(20):
        request = {**agent_request("list the files in src"), "model": None, "stream": False}
        request |= {"seed": seed, "max_tokens": 120}
        answer = stoker.post("/v1/chat/completions", request, timeout=300)
        calls = answer["choices"][0]["message"].get("tool_calls") or []
        called[seed] = [call["function"]["name"] for call in calls]
    wrong = {seed: names for seed, names in called.items() if names[:1] != ["list_dir"]}
    # The smallest model that is any use may choose otherwise once.
    assert len(wrong) <= 1, wrong


def test_a_tool_that_does_not_stand_first_is_called_where_it_is_needed(stoker: Stoker) -> None:
    """Without the line behind the question, the model lists a folder for all of these."""
    stoker.up(QWEN, "--context", "8192")
    needed = {
        "Find all references of the class SessionStore": "list_code_usages",
        "Make a folder called assets/icons": "create_directory",
        "Review my uncommitted changes": "get_changed_files",
        "Set up a new VS Code extension project from scratch": "create_new_workspace",
    }
    called: dict[str, str | None] = {}
    for question in needed:
        request = {**agent_request(question), "model": None, "stream": False}
        request |= {"temperature": 0, "max_tokens": 96}
        answer = stoker.post("/v1/chat/completions", request, timeout=300)
        calls = answer["choices"][0]["message"].get("tool_calls") or [{}]
        called[question] = calls[0].get("function", {}).get("name")
    right = [question for question, name in called.items() if name == needed[question]]
    assert len(right) >= 3, called
