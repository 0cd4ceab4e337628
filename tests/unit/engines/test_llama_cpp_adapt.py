"""Demanded calls, as llama.cpp is asked for them."""

from __future__ import annotations

from typing import Any

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
