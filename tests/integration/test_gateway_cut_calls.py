"""An answer of the real engine that ends inside of a tool call never makes a client run it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from tests.integration.conftest import Stoker

pytestmark = pytest.mark.engine
PATH = {"type": "string", "maxLength": 30}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "delete_file",
        "description": "Delete a file.",
        "parameters": {"type": "object", "properties": {"path": PATH}, "required": ["path"]},
    },
}
CUT = "The call of delete_file was cut off at the token limit and was not run."


def ask(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Delete the file notes.txt in the folder old."}]
    body = {"messages": messages, "tools": [TOOL], "tool_choice": "required", "temperature": 0}
    return {**body, **fields}


def streamed(stoker: Stoker, body: dict[str, Any]) -> tuple[str, list[Any], str]:
    request = urllib.request.Request(
        stoker.endpoint + "/v1/chat/completions",
        json.dumps({**body, "stream": True}).encode(),
        {"Content-Type": "application/json"},
    )
    calls: list[Any] = []
    text, finish = "", ""
    with urllib.request.urlopen(request, timeout=300) as response:
        for line in response:
            event = json.loads(line[6:]) if line.startswith(b"data: {") else {}
            for choice in event.get("choices") or []:
                text += choice["delta"].get("content") or ""
                calls += choice["delta"].get("tool_calls") or []
                finish = choice.get("finish_reason") or finish
    return text, calls, finish


def whole(stoker: Stoker, body: dict[str, Any]) -> tuple[str, list[Any], str]:
    (choice,) = stoker.post("/v1/chat/completions", body, timeout=300)["choices"]
    message = choice["message"]
    return message["content"] or "", message.get("tool_calls") or [], choice["finish_reason"]


@pytest.mark.parametrize("model", ["smollm2", "qwen"])
def test_a_call_that_max_tokens_cuts_is_text_with_a_sentence(
    stoker: Stoker, model: str, request: pytest.FixtureRequest
) -> None:
    path = str(request.getfixturevalue(model))
    stoker.up(path, "--context", "2048", "--parallel", "1")
    reply, (call,), finish = whole(stoker, ask(max_tokens=120))
    assert (reply, finish) == ("", "tool_calls")
    assert "path" in json.loads(call["function"]["arguments"])
    for answer in (whole, streamed):
        reply, calls, finish = answer(stoker, ask(max_tokens=14))
        assert (calls, finish) == ([], "length")
        assert "delete_file" in reply.removesuffix(CUT)
        assert reply.endswith(f"\n\n{CUT}")
        assert stoker.post(
            "/v1/chat/completions",
            {
                "messages": [
                    *ask()["messages"],
                    {"role": "assistant", "content": reply},
                    {"role": "user", "content": "Go on."},
                ],
                "max_tokens": 2,
            },
        )
