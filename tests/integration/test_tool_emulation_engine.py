"""A model without tools in its template answers with a real tool call, on real llama.cpp."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.agent import agent_request
from tests.integration.test_tokens_exact import Engine

from stoker.tokens.tool_calls import emulate, parse_answer, template_has_tools

pytestmark = pytest.mark.engine
OFFERED = ("list_dir", "read_file", "run_in_terminal")


@pytest.fixture(scope="module")
def engine(smollm2: str) -> Iterator[Engine]:
    yield Engine(Path(smollm2))


def request(choice: object) -> dict[str, Any]:
    base = agent_request("list the files in src")
    tools = [tool for tool in base["tools"] if tool["function"]["name"] in OFFERED]
    for tool in tools:
        for schema in tool["function"]["parameters"]["properties"].values():
            if schema.get("type") == "string":
                schema["maxLength"] = 40  # so small a model may repeat itself without an end
    messages = [{"role": "user", "content": "list the files in src"}]
    return {"messages": messages, "tools": tools, "tool_choice": choice}


def answer(engine: Engine, asked: dict[str, Any]) -> str:
    body = {**emulate(asked), "max_tokens": 300, "temperature": 0}
    message = engine.post("/v1/chat/completions", body)["choices"][0]["message"]
    return str(message["content"])


def test_the_template_of_this_model_has_no_tools(engine: Engine) -> None:
    assert engine.local.template is not None
    assert not template_has_tools(engine.local.template.source)


def test_a_demanded_call_comes_from_any_model(engine: Engine) -> None:
    asked = request("required")
    shown, calls = parse_answer(answer(engine, asked), asked["tools"])
    assert shown == ""
    assert {call.name for call in calls} <= set(OFFERED)
    assert calls


@pytest.mark.parametrize("name", ["list_dir", "read_file"])
def test_a_named_tool_is_the_one_that_is_called(engine: Engine, name: str) -> None:
    asked = request({"type": "function", "function": {"name": name}})
    shown, calls = parse_answer(answer(engine, asked), asked["tools"])
    assert shown == ""
    assert [call.name for call in calls] == [name]
    schema = next(t for t in asked["tools"] if t["function"]["name"] == name)["function"]
    assert set(json.loads(calls[0].arguments)) >= set(schema["parameters"]["required"])
