"""Every request that clients produce has one normal form, which servers read.

What is refused was measured on llama.cpp b11549 and vLLM 0.32; the forms are those of OpenAI's old
``functions``, its Responses, Anthropic's Messages, MCP, Mistral's and Gemini's APIs.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from stoker.gateway.api.request_validation import check_chat
from stoker.tokens.request_form import (
    REWRITINGS,
    WrittenPart,
    moved_schema,
    normal_request,
    recognised,
    rewritten_messages,
    with_one_last_answer,
)
from stoker.tokens.request_form.tool_schemas import plain_schema
from stoker.tokens.tool_calls import demanded_call, emulate

USER = {"role": "user", "content": "hi"}
NOTHING = {"type": "object", "properties": {}}
TOOL = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": NOTHING}}


def normal(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return normal_request({"messages": list(messages) or [USER], **fields})


def call(arguments: Any, **fields: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    calls = [{"id": "c", "type": "function", "function": function, **fields}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(identity: str = "c") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": "r"}


def arguments_in(message: dict[str, Any]) -> Any:
    return json.loads(message["tool_calls"][0]["function"]["arguments"])


def test_a_well_formed_request_stays_as_it_is() -> None:
    request = {
        "messages": [USER, call('{"path":  "a"}'), result(), USER],
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "max_tokens": 5,
    }
    assert normal_request(request) == request


def test_a_message_that_came_in_normal_form_is_recognised_when_it_comes_again() -> None:
    parts = [{"type": "text", "text": "a"}]
    given = [USER, call('{"path": "a"}'), result(), {"role": "user", "content": parts}]
    normal(*given)
    again = recognised(given)
    assert again == given
    assert all(type(message) is WrittenPart for message in again)
    assert normal(*again) == normal(*given)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "another role"},
        call({"path": "no text"}),
        {"role": "tool", "content": "answers the call before it"},
        {"role": "user", "content": {"type": "text", "text": "one part"}},
    ],
)
def test_a_message_that_is_changed_is_read_each_time(message: dict[str, Any]) -> None:
    before = [call("{}"), message]
    first = normal(*before)
    again = recognised(before)
    assert type(again[1]) is dict
    assert normal(*again) == first


def test_a_result_without_an_id_answers_the_call_before_it_however_known_that_is() -> None:
    before = [USER, call("{}", id="first"), result("first"), call("{}", id="second")]
    normal(*before)
    found = normal(*recognised(before), {"role": "tool", "content": "r"})
    assert found["messages"][-1]["tool_call_id"] == "second"


@pytest.mark.parametrize("parameters", [None, {}, True, False, [], "none"])
def test_a_tool_that_takes_nothing_has_an_empty_object(parameters: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    (sent,) = normal(tools=[tool])["tools"]
    assert sent["function"]["parameters"] == NOTHING
    assert sent["function"]["description"] == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"function": {"name": "f", "description": "F."}}]},
        {"tools": [{"type": "function", "name": "f", "description": "F."}]},
        {"tools": [{"name": "f", "description": "F.", "input_schema": {"type": "object"}}]},
        {"tools": [{"name": "f", "description": "F.", "inputSchema": NOTHING}]},
        {"functions": [{"name": "f", "description": "F.", "parameters": NOTHING}]},
        {"tools": [{"type": "web_search"}, TOOL]},
    ],
)
def test_tools_of_other_apis_become_functions(fields: dict[str, Any]) -> None:
    (tool,) = normal(**fields)["tools"]
    tool["function"]["parameters"].setdefault("properties", {})
    assert tool == TOOL


@pytest.mark.parametrize("tools", [None, []])
def test_without_tools_nothing_is_left_that_is_about_tools(tools: Any) -> None:
    sent = normal(tools=tools, tool_choice="auto", parallel_tool_calls=True, functions=None)
    assert sent == {"messages": [USER]}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("any", "required"),
        ("required", "required"),
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "any"}, "required"),
        ("f", {"type": "function", "function": {"name": "f"}}),
        ({"name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "function", "function": {"name": "not offered"}}, None),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required"}}, "required"),
        (5, None),
        (None, None),
    ],
)
def test_a_choice_of_tools_has_openais_form(choice: Any, sent: Any) -> None:
    assert normal(tools=[TOOL], tool_choice=choice).get("tool_choice") == sent


@pytest.mark.parametrize("limit", [-1, 0, None])
def test_no_limit_is_a_limit_that_is_left_out(limit: Any) -> None:
    assert normal(max_tokens=limit, max_completion_tokens=limit) == {"messages": [USER]}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", {}),
        ("  ", {}),
        (None, {}),
        ({"a": 1}, {"a": 1}),
        ('{"path": "a.p', {"arguments": '{"path": "a.p'}),
        ("{", {"arguments": "{"}),
        ("[1]", {"arguments": "[1]"}),
        ('"x"', {"arguments": '"x"'}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('{"a": "x\ny"}', {"a": "x\ny"}),
        ('{"a": NaN}', {"a": None}),
        ('{"a": "\\ud83d"}', {"arguments": '{"a": "\\ud83d"}'}),
    ],
)
def test_arguments_are_an_object_and_what_was_wrong_is_kept_as_text(given: Any, read: Any) -> None:
    assert arguments_in(normal(USER, call(given), result())["messages"][1]) == read


@pytest.mark.parametrize(
    "calls",
    [
        [{"id": "c", "type": "tool_use", "name": "f", "input": {"a": 1}}],
        [{"id": "c", "type": "tool_call", "name": "f", "args": {"a": 1}}],
        [{"id": "c", "function": "f", "arguments": {"a": 1}}],
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
    ],
)
def test_calls_in_forms_of_other_apis_have_openais(calls: Any) -> None:
    asked: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": calls}
    messages = [USER, asked, result()]
    check_chat({"messages": messages})
    (sent,) = normal(*messages)["messages"][1]["tool_calls"]
    function = {"name": "f", "arguments": '{"a":1}'}
    assert sent == {"id": "c", "type": "function", "function": function}


def test_the_text_for_a_custom_tool_is_its_input() -> None:
    calls = [{"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}]
    asked: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": calls}
    messages = [USER, asked, result()]
    check_chat({"messages": messages})
    assert arguments_in(normal(*messages)["messages"][1]) == {"input": "*** Begin"}


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ({"type": "text", "text": "hi"}, [{"type": "text", "text": "hi"}]),
        ({"a": 1}, '{"a":1}'),
    ],
)
def test_content_that_is_one_object_is_a_part_or_json(content: Any, sent: Any) -> None:
    check_chat({"messages": [{"role": "user", "content": content}]})
    (message,) = normal({"role": "user", "content": content})["messages"]
    assert message["content"] == sent


@pytest.mark.parametrize(("returned", "sent"), [(5, "5"), (True, "true"), (0.5, "0.5")])
def test_what_a_tool_returned_is_text_whatever_its_type(returned: Any, sent: str) -> None:
    result = {"role": "tool", "tool_call_id": 1, "content": returned}
    call = {"id": 1, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    request = {"messages": [USER, {"role": "assistant", "tool_calls": [call]}, result]}
    check_chat(request)
    _, answer, result = normal_request(request)["messages"]
    assert (answer["tool_calls"][0]["id"], result["tool_call_id"]) == ("1", "1")
    assert result["content"] == sent


def test_texts_in_a_list_are_parts_and_roles_have_small_letters() -> None:
    shown = {"type": "tool_result", "tool_use_id": "a", "content": "x"}
    request = {"messages": [{"role": "User", "content": ["Hi", shown, "there"]}]}
    check_chat(request)
    parts = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]
    assert normal_request(request)["messages"] == [
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        {"role": "user", "content": parts},
    ]


def test_a_limit_with_a_point_is_a_whole_number() -> None:
    check_chat({"messages": [USER], "max_tokens": 100.0})
    assert repr(normal(max_tokens=100.0)["max_tokens"]) == "100"


def test_arguments_that_are_missing_are_none() -> None:
    broken = {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}
    message = normal(USER, broken, {"role": "tool", "content": "r"})["messages"]
    assert arguments_in(message[1]) == {}
    (sent,) = message[1]["tool_calls"]
    assert (sent["type"], message[2]["tool_call_id"]) == ("function", sent["id"])


def test_an_old_function_call_and_its_result_become_a_tool_call() -> None:
    asked = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}
    _, sent, answered = normal(USER, asked, {"role": "function", "name": "f", "content": "r"})[
        "messages"
    ]
    assert "function_call" not in sent
    assert answered["role"] == "tool"
    assert answered["tool_call_id"] == sent["tool_calls"][0]["id"]


@pytest.mark.parametrize(
    "message",
    [{"role": "assistant"}, {"role": "assistant", "content": None, "tool_calls": []}],
)
def test_an_empty_answer_has_an_empty_text_and_is_left_out_at_the_end(message: Any) -> None:
    assert normal(USER, message, USER)["messages"][1] == {"role": "assistant", "content": ""}
    assert normal(USER, message, message)["messages"] == [USER]


def test_fields_that_are_null_are_left_out() -> None:
    message = {"role": "user", "content": "hi", "name": None, "audio": None}
    assert normal(message, stop=None, temperature=None) == {"messages": [USER]}


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"type": "input_text", "text": "x"}, "x"),
        ({"type": "output_text", "text": "x"}, "x"),
        ({"text": "x"}, "x"),
        ({"type": "refusal", "refusal": "No."}, "No."),
        ({"type": "document", "text": "x"}, "x"),
        (
            {"type": "file", "file": {}},
            "[A part of type 'file' was left out: it can't be sent on.]",
        ),
    ],
)
def test_parts_of_unknown_types_become_text(part: dict[str, Any], text: str) -> None:
    (sent,) = normal({"role": "user", "content": [part]})["messages"][0]["content"]
    assert sent == {"type": "text", "text": text}


ANTHROPIC_CALL = {"type": "tool_use", "id": "c", "name": "read", "input": {"path": "a.py"}}
AI_SDK_CALL = {
    "type": "tool-call",
    "toolCallId": "c",
    "toolName": "read",
    "args": {"path": "a.py"},
}
AI_SDK_RESULT = {"type": "tool-result", "toolCallId": "c", "toolName": "read"}


@pytest.mark.parametrize(
    ("called", "returned", "text"),
    [
        (ANTHROPIC_CALL, {"type": "tool_result", "tool_use_id": "c", "content": "x = 1"}, "x = 1"),
        (
            ANTHROPIC_CALL,
            {
                "type": "tool_result",
                "tool_use_id": "c",
                "content": [{"type": "text", "text": "x = 1"}],
            },
            [{"type": "text", "text": "x = 1"}],
        ),
        (ANTHROPIC_CALL, {"type": "tool_result", "tool_use_id": "c"}, ""),
        (AI_SDK_CALL, {**AI_SDK_RESULT, "result": {"x": 1}}, '{"x":1}'),
        (
            {**AI_SDK_CALL, "args": None, "input": {"path": "a.py"}},
            {**AI_SDK_RESULT, "output": {"type": "json", "value": [1]}},
            "[1]",
        ),
    ],
)
def test_calls_and_results_among_the_parts_of_content_are_calls_and_results(
    called: dict[str, Any], returned: dict[str, Any], text: Any
) -> None:
    (answer, tool, user) = normal(
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, called]},
        {"role": "user", "content": [returned, {"type": "text", "text": "And?"}]},
    )["messages"]
    (sent,) = answer["tool_calls"]
    assert (sent["id"], sent["function"]["name"]) == ("c", "read")
    assert arguments_in(answer) == {"path": "a.py"}
    assert answer["content"] == [{"type": "text", "text": "I look."}]
    assert tool == {"role": "tool", "tool_call_id": "c", "content": text}
    assert user == {"role": "user", "content": [{"type": "text", "text": "And?"}]}


def test_thoughts_in_parts_are_reasoning_and_not_content() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "text", "text": "Yes."},
    ]
    sent = normal(USER, {"role": "assistant", "content": parts}, USER)["messages"][1]
    assert sent["content"] == [{"type": "text", "text": "Yes."}]
    assert sent["reasoning_content"] == "Hm."


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "data:image/png;base64,AA"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
        {"type": "image", "image": "data:image/png;base64,AA"},
        {"type": "image_url", "image_url": "data:image/png;base64,AA"},
    ],
)
def test_images_of_other_apis_stay_images(part: dict[str, Any]) -> None:
    (sent,) = normal({"role": "user", "content": [part]})["messages"][0]["content"]
    assert sent == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "audio_url", "video_url"])
@pytest.mark.parametrize("content", [None, 5, []])
def test_media_without_content_is_a_note(kind: str, content: Any) -> None:
    part = {"type": kind, kind: content}
    (sent,) = normal({"role": "user", "content": [part]})["messages"][0]["content"]
    assert sent["type"] == "text"
    assert f"'{kind}' was left out" in sent["text"]


@pytest.mark.parametrize(
    ("schema", "plain"),
    [
        ({"properties": {"a": True, "b": False}}, {"properties": {"a": {}}}),
        ({"items": True}, {"items": {}}),
        ({"items": False}, {}),
        ({"anyOf": [True, False]}, {"anyOf": [{}]}),
        ({"additionalProperties": False}, {"additionalProperties": False}),
        ({"properties": []}, {"properties": {}}),
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": "any"}, {}),
        ({"type": ["str", "null"]}, {"type": ["string", "null"]}),
        ({"minLength": "3", "maxLength": 4.0, "pattern": 5}, {"maxLength": 4}),
        ({"required": True, "enum": []}, {}),
        ({"default": None}, {"default": None}),
        ({"$ref": "https://example.com/x.json"}, {}),
        ({"properties": {"a": {"$ref": "#/$defs/Gone"}}}, {"properties": {"a": {}}}),
        ({"$defs": {"A": {"$ref": "#/$defs/A"}}}, {"$defs": {"A": {}}}),
    ],
)
def test_schemas_keep_what_servers_read(schema: Any, plain: Any) -> None:
    assert plain_schema(schema) == plain


def test_a_schema_that_is_part_of_itself_refers_to_a_definition() -> None:
    plain = plain_schema({"type": "object", "properties": {"child": {"$ref": "#"}}})
    child = {"type": "object", "properties": {"child": {"$ref": "#/$defs/root"}}}
    assert plain == {**child, "$defs": {"root": child}}


def with_references(schema: Any, root: Any) -> list[str]:
    """The references in a schema, each of which is followed on the way."""
    if isinstance(schema, list):
        return [found for part in schema for found in with_references(part, root)]
    if not isinstance(schema, dict):
        return []
    found = [name for part in schema.values() for name in with_references(part, root)]
    if "$ref" in schema:
        target = root
        for step in schema["$ref"][2:].split("/"):
            target = target[step]
        found.append(schema["$ref"])
    return found


ITEM = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Item"}}}
REFERRING: dict[str, dict[str, Any]] = {
    "definitions": {
        "definitions": {"Item": {"type": "string"}},
        "properties": {"a": {"$ref": "#/definitions/Item"}},
    },
    "recursive": {"$defs": {"Item": ITEM}, "properties": {"a": {"$ref": "#/$defs/Item"}}},
    "into a definition": {
        "$defs": {"Item": ITEM},
        "properties": {"a": {"$ref": "#/$defs/Item/properties/next"}},
    },
    "a property": {"properties": {"a": {"type": "string"}, "b": {"$ref": "#/properties/a"}}},
    "the whole": {"properties": {"a": {"items": {"$ref": "#"}}}},
    "escaped": {"$defs": {"a/b c": ITEM, "Item": {}}, "items": {"$ref": "#/$defs/a~1b%20c"}},
}


@pytest.mark.parametrize("kind", REFERRING)
@pytest.mark.parametrize("form", [demanded_call, lambda r: emulate(r)["response_format"]])
def test_references_of_a_demanded_call_lead_to_their_definitions(kind: str, form: Any) -> None:
    tools = [
        {"type": "function", "function": {"name": name, "parameters": REFERRING[kind]}}
        for name in ("f", "g")
    ]
    constraint = form(normal(tools=tools, tool_choice="required"))
    schema = constraint["json_schema"]["schema"]
    references = with_references(schema, schema)
    assert references
    calls = [part["properties"]["arguments"] for part in schema["anyOf"]]
    assert not set(with_references(calls[0], schema)) & set(with_references(calls[1], schema))


def test_a_schema_without_references_is_moved_as_it_is() -> None:
    assert moved_schema(NOTHING, "tool0") == (NOTHING, {})


def turn_of(role: str, content: Any = "x") -> dict[str, Any]:
    return {"role": role, "content": content}


CONVERSATIONS = {
    "two system messages": [turn_of("system", "a"), turn_of("system", "b"), USER],
    "system in the middle": [
        turn_of("system"),
        USER,
        turn_of("assistant"),
        turn_of("system"),
        USER,
    ],
    "two users": [USER, turn_of("user", [{"type": "text", "text": "y"}])],
    "assistant first": [turn_of("assistant"), USER],
    "system alone": [turn_of("system")],
    "two assistants": [USER, turn_of("assistant"), turn_of("assistant"), USER],
    "text, then a call": [
        USER,
        turn_of("assistant"),
        call("{}"),
        result(),
        turn_of("assistant"),
        USER,
    ],
    "user after a result": [USER, call("{}"), result(), USER],
    "user after a call": [USER, call("{}"), USER],
    "result of nothing": [USER, result("gone"), USER],
    "result first": [result(), USER],
    "unknown role": [turn_of("critic"), USER],
}


def refusal(messages: list[dict[str, Any]]) -> str | None:
    """Why a template with the rules of Mistral's (and Gemma's, in its way) refuses; ``None``."""
    rest = messages[1:] if messages[0]["role"] == "system" else messages
    turn = 0
    for message in rest:
        if message["role"] not in ("user", "assistant", "tool"):
            return f"the role {message['role']}"
        if message["role"] == "tool" or message.get("tool_calls"):
            continue
        if message["role"] != ("user", "assistant")[turn % 2]:
            return f"{message['role']} out of turn"
        turn += 1
    return None if turn else "nobody asks"


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_a_template_that_wants_turns_takes_every_order_of_messages(kind: str) -> None:
    strict = rewritten_messages(CONVERSATIONS[kind], ["roles-in-turn", "paired-calls"])
    assert refusal(strict) is None
    given = [str(m["content"]) for m in CONVERSATIONS[kind] if isinstance(m["content"], str)]
    assert all(any(text in str(m["content"]) for m in strict) for text in given)
    assert rewritten_messages(strict, ["roles-in-turn", "paired-calls"]) == strict


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_a_template_without_a_system_role_gets_its_text_from_the_user(kind: str) -> None:
    strict = rewritten_messages(CONVERSATIONS[kind], REWRITINGS)
    assert refusal(strict) is None
    assert "system" not in [message["role"] for message in strict]


def test_images_of_the_past_become_notes_and_those_of_the_question_stay() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    messages = [turn_of("user", [image]), turn_of("assistant"), turn_of("user", [image])]
    before, _, now = rewritten_messages(messages, ["text-only"])
    note = "[An attachment (image) was left out: you read text only.]"
    assert before["content"] == [{"type": "text", "text": note}]
    assert now["content"] == [image]


@pytest.mark.parametrize(
    ("end", "roles"),
    [
        ([turn_of("assistant", "a")], ["assistant"]),
        ([turn_of("assistant", "a"), turn_of("assistant", "b")], ["assistant"]),
        ([call("{}")], ["assistant", "tool"]),
        ([call("{}"), turn_of("assistant", "b")], ["assistant", "tool", "assistant"]),
    ],
)
def test_a_conversation_ends_with_one_answer(end: list[Any], roles: list[str]) -> None:
    sent = with_one_last_answer([USER, *end])
    assert [message["role"] for message in sent[1:]] == roles


def test_emulated_results_keep_their_images_and_system_parts_stay_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    text = {"type": "text", "text": "Here."}
    messages = [turn_of("system", [text]), USER, call("{}"), {**result(), "content": [text, image]}]
    out = emulate({"messages": messages, "tools": [TOOL]})["messages"]
    assert out[0]["content"][0] == text
    assert "# Tools" in out[0]["content"][1]["text"]
    seen = {"type": "text", "text": "<tool_response>\nHere.\n</tool_response>"}
    assert out[-1] == {"role": "user", "content": [seen, image]}


def test_a_tool_is_written_in_the_order_in_which_servers_write_it() -> None:
    given = {"strict": True, "parameters": {"type": "object"}, "name": "look"}
    (tool,) = normal_request({"messages": [], "tools": [{"function": given}]})["tools"]
    assert list(tool) == ["type", "function"]
    assert list(tool["function"]) == ["name", "description", "parameters", "strict"]
