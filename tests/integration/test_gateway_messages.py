"""Anthropic's Messages through the gateway, with the real llama.cpp: counted, fitted, streamed."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from tests.fixtures.agent import agent_request
from tests.integration.api_conversations import as_messages, messages_requests
from tests.integration.conftest import Stoker
from tests.integration.promises import messages_counts_are_exact, refuses, whole_prompt

pytestmark = pytest.mark.engine

Body = dict[str, Any]


def events_of(stoker: Stoker, body: Body) -> list[Body]:
    request = urllib.request.Request(
        stoker.endpoint + "/v1/messages",
        json.dumps({**body, "stream": True}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        lines = response.read().decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def test_300_requests_count_before_as_the_engine_counts_after(
    stoker: Stoker, quick_qwen: str
) -> None:
    stoker.up(quick_qwen, "--context", "8192", "--parallel", "1")
    messages_counts_are_exact(stoker, messages_requests(300))
    body = messages_requests(1)[0]
    before = stoker.post("/v1/messages/count_tokens", body)["input_tokens"]
    assert whole_prompt(events_of(stoker, body)[-2]["usage"]) == before
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    picture = {"role": "user", "content": [{"type": "image", "source": source}]}
    error = refuses(stoker, "/v1/messages", {"max_tokens": 1, "messages": [picture]})
    assert error["type"] == "invalid_request_error"


def test_agents_request_is_fitted_and_its_limit_lowered(stoker: Stoker, quick_qwen: str) -> None:
    stoker.up(quick_qwen, "--context", "8192", "--parallel", "1")
    body = {**as_messages(agent_request()), "max_tokens": 32_000, "stop_sequences": ["a", "e"]}
    events = events_of(stoker, body)
    assert events[0]["message"]["usage"]["input_tokens"] < 8192
    usage = events[-2]["usage"]
    assert whole_prompt(usage) == events[0]["message"]["usage"]["input_tokens"]
    assert whole_prompt(usage) + usage["output_tokens"] <= 8192
    assert events[-1] == {"type": "message_stop"}
