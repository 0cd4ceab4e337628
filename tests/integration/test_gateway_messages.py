"""Anthropic's Messages through the gateway, with the real llama.cpp: counted, fitted, streamed."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.agent import agent_request
from tests.integration.conftest import Stoker
from tests.integration.conversations import conversations
from tests.support.one_layer import one_layer_gguf

pytestmark = pytest.mark.engine

Body = dict[str, Any]


@pytest.fixture(scope="module")
def one_layer_qwen(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with tools of its own, whose answers make no sense."""
    return str(one_layer_gguf(qwen, tmp_path_factory.mktemp("messages")))


def as_messages(chat: Body) -> Body:
    """A chat as a client of Anthropic's API would send it."""
    system = [m["content"] for m in chat["messages"] if m["role"] == "system"]
    turns = [_turn(m) for m in chat["messages"] if m["role"] != "system"]
    tools = [_tool(tool["function"]) for tool in chat.get("tools") or ()]
    body = {"max_tokens": 1, "messages": turns}
    body |= {"system": "\n\n".join(system)} if system else {}
    return {**body, "tools": tools} if tools else body


def _tool(function: Body) -> Body:
    described = {k: v for k, v in function.items() if k in ("name", "description")}
    return {**described, "input_schema": function.get("parameters") or {"type": "object"}}


def _turn(message: Body) -> Body:
    if message["role"] == "tool":
        content = message["content"]
        result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}
        return {"role": "user", "content": [result]}
    content = message.get("content") or []
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    for call in message.get("tool_calls") or ():
        named = {"type": "tool_use", "id": call["id"], "name": call["function"]["name"]}
        blocks.append({**named, "input": json.loads(call["function"]["arguments"])})
    return {"role": message["role"], "content": blocks}


def whole_prompt(usage: Body) -> int:
    return int(usage["input_tokens"] + usage["cache_read_input_tokens"])


def events_of(stoker: Stoker, body: Body) -> list[Body]:
    request = urllib.request.Request(
        stoker.endpoint + "/v1/messages",
        json.dumps({**body, "stream": True}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        lines = response.read().decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def test_messages_count_before_as_the_engine_counts_after(
    stoker: Stoker, one_layer_qwen: str
) -> None:
    stoker.up(one_layer_qwen, "--context", "8192", "--parallel", "1")
    for chat in conversations(15, tools=True):
        body = as_messages(chat)
        before = stoker.post("/v1/messages/count_tokens", body)["input_tokens"]
        assert whole_prompt(stoker.post("/v1/messages", body)["usage"]) == before
        assert whole_prompt(events_of(stoker, body)[-2]["usage"]) == before


def test_agents_request_is_fitted_and_its_limit_lowered(
    stoker: Stoker, one_layer_qwen: str
) -> None:
    stoker.up(one_layer_qwen, "--context", "8192", "--parallel", "1")
    body = {**as_messages(agent_request()), "max_tokens": 32_000, "stop_sequences": ["a", "e"]}
    events = events_of(stoker, body)
    assert events[0]["message"]["usage"]["input_tokens"] < 8192
    usage = events[-2]["usage"]
    assert whole_prompt(usage) == events[0]["message"]["usage"]["input_tokens"]
    assert whole_prompt(usage) + usage["output_tokens"] <= 8192
    assert events[-1] == {"type": "message_stop"}
