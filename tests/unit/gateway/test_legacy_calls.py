"""A client that offers ``functions`` gets its calls as ``function_call``.

The form is OpenAI's of before November 2023. LangChain's ``OpenAIFunctionsAgent`` and AutoGen 0.2
have it.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import DONE, Call, Scenario, answer, event, gateway_with
from tests.unit.gateway.test_backend_faults import events_of

PATH = {"type": "object", "properties": {"path": {"type": "string"}}}
FUNCTIONS = [{"name": "look", "parameters": PATH}, {"name": "list", "parameters": PATH}]
TOOLS = [{"type": "function", "function": function} for function in FUNCTIONS]
A, B = '{"path":"a.py"}', '{"path":"."}'
PRINTED = '<tool_call>{"name": "look", "arguments": {"path": "a.py"}}</tool_call>'


def native(name: str, arguments: str, index: int = 0) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": f"c{index}", "type": "function", "function": function}


def whole(message: dict[str, Any], finish: str = "tool_calls") -> Scenario:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}

    async def scenario(call: Call) -> None:
        await call.send(answer(orjson.dumps({"object": "chat.completion", "choices": [choice]})))

    return scenario


def parts(*deltas: dict[str, Any], finish: str = "tool_calls") -> Scenario:
    choices = [{"index": 0, "delta": delta} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})

    async def scenario(call: Call) -> None:
        await call.stream(*(event(choices=[choice]) for choice in choices), DONE)

    return scenario


async def asked(scenario: Scenario, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The choice that the client reads, whichever form it asked for, and the request sent on."""
    async with gateway_with(scenario) as (front, (backend,)):
        body = (await front.chat(**{"functions": FUNCTIONS, **fields})).body
        sent = backend.calls[-1].body
    if not fields.get("stream"):
        return orjson.loads(body)["choices"][0], sent
    return _put_together(body), sent


def _put_together(body: bytes) -> dict[str, Any]:
    """A stream as such clients read it: they join every piece of ``function_call``."""
    message: dict[str, Any] = {"content": ""}
    finish = None
    for each in events_of(body):
        (choice,) = each["choices"]
        delta, finish = choice["delta"], choice.get("finish_reason") or finish
        assert "tool_calls" not in delta
        message["content"] += delta.get("content") or ""
        for name, value in delta.get("function_call", {}).items():
            called = message.setdefault("function_call", {})
            called[name] = called.get(name, "") + value
    return {"message": message, "finish_reason": finish}


ONE_CALL: dict[str, Scenario] = {
    "a native call": whole({"content": None, "tool_calls": [native("look", A)]}),
    "a native call in pieces": parts(
        {"tool_calls": [native("look", "")]},
        {"tool_calls": [{"index": 0, "function": {"arguments": A[:4]}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": A[4:]}}]},
    ),
    "a call that the model printed": whole({"content": PRINTED}, "stop"),
    "a call that was printed in pieces": parts(
        {"content": PRINTED[:20]}, {"content": PRINTED[20:]}, finish="stop"
    ),
    "a server that has the old form itself": whole(
        {"content": None, "function_call": {"name": "look", "arguments": A}}, "function_call"
    ),
    "the old form in pieces": parts(
        {"function_call": {"name": "look", "arguments": ""}},
        {"function_call": {"arguments": A}},
        finish="function_call",
    ),
    "a finish reason that does not tell of the call": whole(
        {"content": None, "tool_calls": [native("look", A)]}, "stop"
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("scenario", ONE_CALL.values(), ids=ONE_CALL)
async def test_a_call_is_a_function_call(scenario: Scenario, stream: bool) -> None:
    choice, _ = await asked(scenario, stream=stream)
    message = choice["message"]
    called = message["function_call"]
    assert (called["name"], orjson.loads(called["arguments"])) == ("look", orjson.loads(A))
    assert called.keys() == {"name", "arguments"}
    assert "tool_calls" not in message
    assert not message.get("content")
    assert choice["finish_reason"] == "function_call"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_second_call_is_written_out_and_not_joined_to_the_first(stream: bool) -> None:
    calls = [native("look", A), native("list", B, 1)]
    choice, _ = await asked(whole({"content": "So:", "tool_calls": calls}), stream=stream)
    message = choice["message"]
    assert message["function_call"] == {"name": "look", "arguments": A}
    assert message["content"].startswith("So:")
    assert f"list({B})" in message["content"]
    assert "was not run" in message["content"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_answer_without_a_call_is_as_it_is(stream: bool) -> None:
    choice, _ = await asked(whole({"content": "Hi"}, "stop"), stream=stream)
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hi", "stop")
    assert "function_call" not in choice["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_call_that_was_cut_off_is_text(stream: bool) -> None:
    cut = whole({"content": None, "tool_calls": [native("look", '{"pa')]}, "length")
    choice, _ = await asked(cut, stream=stream)
    assert "function_call" not in choice["message"]
    assert "was cut off" in choice["message"]["content"]
    assert choice["finish_reason"] == "length"


async def test_the_server_is_asked_for_one_call_with_tools() -> None:
    _, sent = await asked(whole({"content": "Hi"}, "stop"), function_call={"name": "list"})
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["look", "list"]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "list"}}
    assert sent["parallel_tool_calls"] is False
    assert not sent.keys() & {"functions", "function_call"}


async def test_the_next_turn_brings_the_call_and_its_result_back() -> None:
    called = {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "look", "arguments": A},
    }
    result = {"role": "function", "name": "look", "content": "x = 1"}
    history = [{"role": "user", "content": "hi"}, called, result]
    _, sent = await asked(whole({"content": "Hi"}, "stop"), messages=history)
    _, asking, answered = sent["messages"]
    assert asking["tool_calls"][0]["function"] == {"name": "look", "arguments": A}
    assert (answered["role"], answered["content"]) == ("tool", "x = 1")
    assert answered["tool_call_id"] == asking["tool_calls"][0]["id"]


async def test_a_client_that_offers_tools_gets_tool_calls_whatever_else_it_sends() -> None:
    calls = whole({"content": None, "tool_calls": [native("look", A)]})
    choice, _ = await asked(calls, tools=TOOLS)
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "look"
    assert choice["finish_reason"] == "tool_calls"
