"""Which requests a template here renders as every server does, and which only the server counts.

What servers do with the others was seen in llama.cpp b11549 and vLLM 0.32.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from tests.fixtures.agent import agent_request, growing_conversation
from tests.support import recorded
from tests.unit.tokens.strategies import odd_requests

from stoker.tokens import Corrections, Reconciled, is_plain

USER = {"role": "user", "content": "What?"}
PARAMETERS: dict[str, Any] = {"type": "object", "properties": {"path": {"type": "string"}}}


def tool(**changes: Any) -> dict[str, Any]:
    function = {"name": "f", "description": "Read.", "parameters": PARAMETERS, **changes}
    return {"type": "function", "function": function}


def calling(arguments: Any, **more: Any) -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    called = {"role": "assistant", "content": "", "tool_calls": [call], **more}
    result = {"role": "tool", "tool_call_id": "c", "content": "x"}
    return {"messages": [USER, called, result], "tools": [tool()]}


@pytest.mark.parametrize("harness", ["local", "copilot"])
def test_all_that_an_editor_sends_is_plain(harness: str) -> None:
    requests = recorded.load(recorded.FIXTURES / f"six_turns_{harness}.json.gz")
    assert all(is_plain(request) for request in requests)


def test_made_up_agent_requests_are_plain() -> None:
    assert all(map(is_plain, (agent_request(), *growing_conversation(3))))


PLAIN: list[dict[str, Any]] = [
    {"messages": [USER]},
    {"messages": [{"role": "system", "content": "Be brief."}, USER], "tool_choice": "auto"},
    {"messages": [USER], "tools": None, "temperature": 0.5, "max_tokens": 5},
    calling('{"path": "größe.py", "n": -12, "deep": {"a": [true, null, {}]}}'),
    calling("{}", content=None, refusal=None),
]


@pytest.mark.parametrize("request_", PLAIN)
def test_what_every_server_renders_alike_is_plain(request_: dict[str, Any]) -> None:
    assert is_plain(request_)


ODD: dict[str, dict[str, Any]] = {
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, USER]},
    "assistant last": {"messages": [USER, {"role": "assistant", "content": "Hi, my"}]},
    "system in the middle": {"messages": [USER, {"role": "system", "content": "Be brief."}, USER]},
    "text parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
    "a name": {"messages": [{**USER, "name": "Ada"}]},
    "reasoning": {
        "messages": [USER, {"role": "assistant", "content": "a", "reasoning_content": "b"}, USER]
    },
    "effort": {"messages": [USER], "reasoning_effort": "high"},
    "variables": {"messages": [USER], "chat_template_kwargs": {"enable_thinking": False}},
    "a form of the answer": {"messages": [USER], "response_format": {"type": "json_object"}},
    "an unknown option": {"messages": [USER], "x": 1},
    "no call": {"messages": [USER], "tools": [tool()], "tool_choice": "none"},
    "continued": {"messages": [USER], "add_generation_prompt": False},
    "strict": {"messages": [USER], "tools": [tool(strict=True)]},
    "an unknown key": {"messages": [USER], "tools": [{**tool(), "x": 1}]},
    "another order": {
        "messages": [USER],
        "tools": [{"function": tool()["function"], "type": "function"}],
    },
    "description of null": {"messages": [USER], "tools": [tool(description=None)]},
    "no description": {
        "messages": [USER],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}],
    },
    "1.0": {"messages": [USER], "tools": [tool(parameters={**PARAMETERS, "default": 1.0})]},
    "2**64": {"messages": [USER], "tools": [tool(parameters={**PARAMETERS, "default": 2**64})]},
}


@pytest.mark.parametrize("form", ODD)
def test_what_engines_render_in_ways_of_their_own_is_not_plain(form: str) -> None:
    assert not is_plain(ODD[form])


@pytest.mark.parametrize(
    "arguments",
    [
        '{"n": 1e5}',
        '{"n": 0.1}',
        '{"n": 1.0}',
        '{"n": -0}',
        '{"n": 1234567890123456789012}',
        '{"n": NaN}',
        '{"a": 1, "a": 2}',
        '{"a": "\\ud800"}',
        '{"a": ',
        "",
        "[]",
        '{"a":' * 5000 + "1" + "}" * 5000,
        {"a": 1},
    ],
)
def test_arguments_that_are_written_in_several_ways_are_not_plain(arguments: Any) -> None:
    assert not is_plain(calling(arguments))


@given(odd_requests())
def test_anything_that_is_sent_is_plain_or_not_and_has_a_shape(request_: dict[str, Any]) -> None:
    assert is_plain(request_) in (True, False)
    corrections = Corrections()
    corrections.learn(request_, Reconciled(10, 11))
    assert corrections.of(request_) == 0


def test_a_role_that_is_no_text_is_not_plain() -> None:
    assert not is_plain({"messages": [{**USER, "role": ["user"]}, USER]})


@pytest.mark.parametrize("messages", [None, [], "x"])
def test_without_messages_nothing_is_plain(messages: Any) -> None:
    assert not is_plain({"messages": messages})
