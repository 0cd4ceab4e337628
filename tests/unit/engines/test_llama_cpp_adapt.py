"""Demanded calls, as llama.cpp is asked for them."""

from __future__ import annotations

from typing import Any

import pytest

from stoker.engines.llama_cpp.llama_client import adapt

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("read_file", "list_dir")
]


def request(choice: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi"}], "tools": TOOLS, "tool_choice": choice}


def test_a_demanded_call_is_the_only_form_that_an_answer_can_have() -> None:
    form = adapt(request("required"))["response_format"]["json_schema"]["schema"]
    names = [option["properties"]["name"]["const"] for option in form["anyOf"]]
    assert names == ["read_file", "list_dir"]


def test_a_named_tool_is_the_only_one_that_can_be_called() -> None:
    named = {"type": "function", "function": {"name": "list_dir"}}
    form = adapt(request(named))["response_format"]["json_schema"]["schema"]
    assert form["properties"]["name"] == {"const": "list_dir"}


def test_every_tool_stays_in_the_prompt_so_that_its_beginning_is_the_same_next_turn() -> None:
    assert adapt(request("required"))["tools"] == TOOLS
    assert adapt(request("required"))["tool_choice"] == "none"


def test_what_demands_no_call_is_sent_as_it_is() -> None:
    for choice in ("auto", "none", None):
        assert adapt(request(choice)) == request(choice)


def parameters(schema: dict[str, Any]) -> dict[str, Any]:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    sent = adapt({"messages": [{"role": "user", "content": "hi"}], "tools": [tool]})
    found: dict[str, Any] = sent["tools"][0]["function"]["parameters"]
    return found


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        ({"minLength": 1999}, True),
        ({"minLength": 2001}, False),
        ({"maxLength": 100_000}, True),
        ({"maxItems": 2000}, False),
        ({"minItems": 3000}, False),
        ({"maximum": 9007199254740991}, True),
        ({"maximum": 1e19}, False),
        ({"pattern": r"^[\w.-]+@\w+$"}, True),
        ({"pattern": "^a{3000}$"}, False),
        ({"pattern": "^(a$"}, False),
        ({"pattern": "^*$"}, False),
    ],
)
def test_limits_that_its_grammar_cannot_hold_are_left_out(
    limit: dict[str, Any], kept: bool
) -> None:
    (key,) = limit
    schema = {"type": "object", "properties": {"a": {"anyOf": [{"type": "string", **limit}]}}}
    part = parameters(schema)["properties"]["a"]["anyOf"][0]
    assert (key in part) is kept
    assert part["type"] == "string"


def test_a_property_may_have_the_name_of_a_limit() -> None:
    schema = {"type": "object", "properties": {"pattern": {"type": "string", "default": "2001"}}}
    assert parameters(schema) == schema


def test_the_form_of_an_answer_has_no_limits_that_its_grammar_cannot_hold() -> None:
    form = {"json_schema": {"schema": {"type": "string", "minLength": 5000}}}
    sent = adapt({"messages": [{"role": "user", "content": "hi"}], "response_format": form})
    assert sent["response_format"] == {"json_schema": {"schema": {"type": "string"}}}


@pytest.mark.parametrize(("top", "n_probs"), [(None, 20), (0, 1), (3, 3)])
def test_log_probabilities_are_asked_for_in_the_form_that_streams_with_tools_take(
    top: int | None, n_probs: int
) -> None:
    asked = {**request("auto"), "logprobs": True, "top_logprobs": top, "stream": True}
    assert adapt(asked) == {**request("auto"), "n_probs": n_probs, "stream": True}
