"""A request with tools becomes one without, which any template renders and any model can answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.unit.tokens.strategies import requests, tool

from stoker.tokens import ChatTemplate
from stoker.tokens.tool_calls import demanded_call, emulate, parse_answer, template_has_tools

TOOLS = [tool("read_file"), tool("list_dir")]
CALL = {"id": "1", "type": "function", "function": {"name": "read_file", "arguments": '{"a": 1}'}}
STRICT = ChatTemplate(
    "{% for m in messages %}{% if m.role == 'system' and not loop.first %}"
    "{{ raise_exception('system comes first') }}{% endif %}"
    "{% if not loop.first and m.role == messages[loop.index0 - 1].role and m.role == 'user' %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)


def request(**more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Help."}, {"role": "user", "content": "List src."}]
    return {"model": "m", "messages": messages, "tools": TOOLS, **more}


def test_tools_stand_in_the_system_prompt() -> None:
    out = emulate(request())
    assert "tools" not in out
    system = out["messages"][0]["content"]
    assert system.startswith("Help.\n\n# Tools")
    assert json.dumps(TOOLS[0]["function"]) in system


def test_without_a_system_prompt_the_tools_make_one() -> None:
    out = emulate(request(messages=[{"role": "user", "content": "hi"}]))
    assert [m["role"] for m in out["messages"]] == ["system", "user"]


def test_the_example_in_the_prompt_is_what_the_parser_reads() -> None:
    out = emulate(request(messages=[{"role": "assistant", "content": None, "tool_calls": [CALL]}]))
    shown, calls = parse_answer(out["messages"][-1]["content"], TOOLS)
    assert shown == ""
    assert [(c.name, json.loads(c.arguments)) for c in calls] == [("read_file", {"a": 1})]


def test_results_and_the_next_question_are_one_user_message() -> None:
    messages = [
        {"role": "user", "content": "read"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": "data"},
        {"role": "user", "content": "and now?"},
    ]
    out = emulate(request(messages=messages))
    last = out["messages"][-1]
    assert last == {
        "role": "user",
        "content": "<tool_response>\ndata\n</tool_response>\nand now?",
    }


def test_tool_choice_none_offers_nothing() -> None:
    out = emulate(request(tool_choice="none"))
    assert out["messages"][0]["content"] == "Help."
    assert "response_format" not in out


def test_a_named_tool_is_demanded_by_schema() -> None:
    choice = {"type": "function", "function": {"name": "list_dir"}}
    constraint = demanded_call(request(tool_choice=choice))
    assert constraint is not None
    schema = constraint["json_schema"]["schema"]
    assert schema["properties"]["name"] == {"const": "list_dir"}
    assert schema["properties"]["arguments"] == TOOLS[1]["function"]["parameters"]


def test_required_allows_any_offered_tool() -> None:
    out = emulate(request(tool_choice="required"))
    schema = out["response_format"]["json_schema"]["schema"]
    assert [s["properties"]["name"]["const"] for s in schema["anyOf"]] == ["read_file", "list_dir"]


def test_auto_demands_nothing() -> None:
    assert demanded_call(request(tool_choice="auto")) is None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(requests())
def test_a_strict_template_takes_every_emulated_request(request: dict[str, Any]) -> None:
    assert STRICT.render(emulate(request))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{% if tools %}{{ tools | tojson }}{% endif %}", True),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", False),
        ("{# tools #}{{ 'tools' }}", False),
        ("{% broken", False),
    ],
)
def test_support_is_read_from_the_template(template: str, expected: bool) -> None:
    assert template_has_tools(template) is expected
