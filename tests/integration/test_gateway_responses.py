"""Responses, answered by the real llama.cpp as chats: counted, fitted, streamed and whole."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from tests.fixtures.agent import agent_request
from tests.integration.api_conversations import responses_requests
from tests.integration.conftest import Stoker
from tests.integration.promises import refuses, responses_counts_are_exact

pytestmark = pytest.mark.engine

PATH = "/v1/responses"


def items() -> list[dict[str, Any]]:
    """An editor's request to an agent, with a call, its result and another question."""
    return [
        *agent_request()["messages"],
        {"type": "function_call", "call_id": "c1", "name": "list_dir", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "src\ntests"},
        {"role": "user", "content": "Which one holds the tests?"},
    ]


def tools() -> list[dict[str, Any]]:
    return [{"type": "function", **tool["function"]} for tool in agent_request()["tools"]]


def streamed(stoker: Stoker, body: dict[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        stoker.endpoint + PATH,
        json.dumps({**body, "stream": True}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        return [json.loads(line[6:]) for line in response if line.startswith(b"data: ")]


def test_an_agents_request_fits_and_is_answered_streamed_and_whole(
    stoker: Stoker, quick_smollm2: str
) -> None:
    stoker.up(quick_smollm2, "--context", "4096", "--parallel", "1")
    body = {"input": items(), "tools": tools(), "max_output_tokens": 8, "temperature": 0}
    whole = stoker.post(PATH, body)
    events = streamed(stoker, body)
    last = events[-1]["response"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    for response in (whole, last):
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert response["usage"]["output_tokens"] == 8
        assert 1000 < response["usage"]["input_tokens"] < 4096
    assert [item["type"] for item in whole["output"]] == [item["type"] for item in last["output"]]
    assert last["usage"]["input_tokens_details"]["cached_tokens"] > 0


def test_300_requests_count_before_as_the_engine_counts_after(
    stoker: Stoker, quick_qwen: str
) -> None:
    stoker.up(quick_qwen, "--context", "8192", "--parallel", "1")
    responses_counts_are_exact(stoker, responses_requests(300))
    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    error = refuses(stoker, PATH, {"input": [{"role": "user", "content": [picture]}]})
    assert error["type"] == "invalid_request_error"
