"""Responses as chats and back: values in, values out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.gateway.api import request_validation
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.client_apis.client_api import Asked, ChatRequest
from stoker.gateway.client_apis.responses.responses_api import ResponsesApi
from stoker.tokens import request_form

Body = dict[str, Any]

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Change files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: LINE+"},
}
AGENTS = {
    "type": "namespace",
    "name": "agents",
    "tools": [{"type": "function", "name": "spawn"}, {"type": "custom", "name": "send"}],
}
SHELL = {"type": "local_shell"}
EVERY_TOOL = [WEATHER, PATCH, AGENTS, SHELL]


def chat(**fields: Any) -> ChatRequest:
    return ResponsesApi().chat_request({"model": "m", "input": "hi", **fields})


def messages(*items: Body, **fields: Any) -> list[Body]:
    found: list[Body] = chat(input=list(items), **fields).body["messages"]
    return found


def offered(**fields: Any) -> list[str]:
    return [tool["function"]["name"] for tool in chat(**fields).body.get("tools", ())]


def call(name: str, arguments: Any = "{}", call_id: str = "call_1") -> Body:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def turn_of(role: str, text: str) -> Body:
    return {"role": role, "content": text}


# The conversation


def test_instructions_and_a_text_are_a_system_message_and_a_question() -> None:
    assert chat(instructions="Be brief.").body["messages"] == [
        turn_of("system", "Be brief."),
        turn_of("user", "hi"),
    ]


def test_an_answers_items_are_one_message_and_each_result_is_its_own() -> None:
    assert messages(
        turn_of("user", "go"),
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "T"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]},
        {"type": "function_call", "call_id": "1", "name": "weather", "arguments": '{"a":1}'},
        {"type": "custom_tool_call", "call_id": "2", "name": "apply_patch", "input": "+ x"},
        {"type": "function_call", "call_id": "3", "name": "spawn", "namespace": "agents"},
        {"type": "local_shell_call", "call_id": "4", "action": {"type": "exec", "command": ["ls"]}},
        {"type": "function_call_output", "call_id": "1", "output": "sun"},
        {"type": "custom_tool_call_output", "call_id": "2", "output": "done"},
        {"type": "function_call_output", "call_id": "3", "output": {"id": 7}},
        {"type": "local_shell_call_output", "id": "4", "output": "a.py"},
    ) == [
        turn_of("user", "go"),
        {
            "role": "assistant",
            "content": "A",
            "reasoning_content": "T",
            "tool_calls": [
                call("weather", '{"a":1}', "1"),
                call("apply_patch", '{"input":"+ x"}', "2"),
                call("agents__spawn", None, "3"),
                call("local_shell", {"command": ["ls"]}, "4"),
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "sun"},
        {"role": "tool", "tool_call_id": "2", "content": "done"},
        {"role": "tool", "tool_call_id": "3", "content": '{"id":7}'},
        {"role": "tool", "tool_call_id": "4", "content": "a.py"},
    ]


def test_two_answers_in_a_row_stay_two_messages() -> None:
    answers = [turn_of("assistant", "one"), turn_of("assistant", "two")]
    assert messages(turn_of("user", "go"), *answers) == [turn_of("user", "go"), *answers]


def test_thinking_that_no_answer_followed_is_dropped() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "T"}]}
    assert messages(turn_of("user", "a"), thought, turn_of("user", "b"), thought) == [
        turn_of("user", "a"),
        turn_of("user", "b"),
    ]


@pytest.mark.parametrize("ids", [{"call_id": "1"}, {"id": "1"}, {"id": "fc", "call_id": "1"}])
def test_a_call_and_its_result_have_one_id(ids: Body) -> None:
    asked = {"type": "function_call", **ids, "name": "weather", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "1", "output": "fine"}
    _, answer, found = messages(turn_of("user", "a"), asked, result)
    assert answer["tool_calls"] == [call("weather", call_id="1")]
    assert found["tool_call_id"] == "1"


def test_a_role_may_have_capitals() -> None:
    assert messages(turn_of("User", "a"), turn_of("DEVELOPER", "b")) == [
        turn_of("user", "a"),
        turn_of("developer", "b"),
    ]


def test_encrypted_thinking_is_dropped() -> None:
    secret = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
    answer = turn_of("assistant", "b")
    assert messages(turn_of("user", "a"), secret, answer) == [turn_of("user", "a"), answer]


def test_images_and_text_files_become_parts_that_a_chat_has() -> None:
    parts = [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "high"},
        # As a chat has it: clients mix the two.
        {"type": "image_url", "image_url": {"url": "https://x/z.png", "detail": "low"}},
        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGk="},
    ]
    (message,) = messages({"role": "user", "content": parts})
    assert message["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://x/z.png", "detail": "low"}},
        {"type": "text", "text": "a.txt:\nhi"},
    ]


def test_an_image_in_a_result_is_kept() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    result = {"type": "function_call_output", "call_id": "1", "output": [image]}
    *_, message = messages(turn_of("user", "see"), result)
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    ]


@pytest.mark.parametrize(
    "part",
    [
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,AA",
        },
        {"type": "input_audio"},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA"}},
    ],
)
def test_what_can_not_be_read_is_named_and_noted_in_the_prompt(part: Body) -> None:
    found = chat(input=[{"role": "user", "content": [part]}])
    assert found.ignored == (part["type"],)
    assert f"'{part['type']}' was left out" in str(request_form.normal_request(found.body))


def test_items_that_only_openai_has_are_left_out_and_named() -> None:
    found = chat(input=[turn_of("user", "a"), {"type": "web_search_call", "id": "ws"}])
    assert found.body["messages"] == [turn_of("user", "a")]
    assert found.ignored == ("web_search_call",)


# The tools


def test_every_kind_of_tool_that_a_client_runs_is_offered_as_a_function() -> None:
    names = ["weather", "apply_patch", "agents__spawn", "agents__send", "local_shell"]
    assert offered(tools=EVERY_TOOL) == names


def test_a_custom_tool_is_a_function_with_one_text_and_its_grammar() -> None:
    (tool,) = chat(tools=[PATCH]).body["tools"]
    parameters = tool["function"]["parameters"]
    assert parameters["required"] == ["input"]
    assert "lark grammar:\nstart: LINE+" in parameters["properties"]["input"]["description"]


def test_tools_that_run_at_openai_are_left_out_and_named() -> None:
    kinds = ["web_search", "file_search", "code_interpreter", "image_generation", "computer"]
    found = chat(tools=[{"type": kind} for kind in kinds])
    assert "tools" not in found.body
    assert found.ignored == tuple(kinds)


def test_tools_that_were_found_during_the_conversation_are_offered() -> None:
    later = {"type": "additional_tools", "role": "developer", "tools": [WEATHER]}
    assert offered(tools=[PATCH], input=[turn_of("user", "a"), later]) == ["apply_patch", "weather"]


def test_a_long_name_in_a_namespace_is_shortened_always_alike() -> None:
    tools = [
        {"type": "namespace", "name": "n" * 50, "tools": [{"type": "function", "name": name}]}
        for name in ("first" * 5, "other" * 5)
    ]
    first, other = offered(tools=tools)
    assert [first, other] == offered(tools=tools)
    assert first != other
    assert len(first) == len(other) == 64


@pytest.mark.parametrize(
    ("choice", "expected", "names"),
    [
        ("required", "required", ["weather", "apply_patch"]),
        ({"type": "function", "name": "weather"}, "weather", ["weather", "apply_patch"]),
        ({"type": "custom", "name": "apply_patch"}, "apply_patch", ["weather", "apply_patch"]),
        ({"type": "web_search_preview"}, "auto", ["weather", "apply_patch"]),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "custom", "name": "apply_patch"}],
            },
            "required",
            ["apply_patch"],
        ),
    ],
    ids=str,
)
def test_a_choice_of_tools_is_kept(choice: Any, expected: str, names: list[str]) -> None:
    body = chat(tools=[WEATHER, PATCH], tool_choice=choice).body
    chosen = body["tool_choice"]
    assert (chosen["function"]["name"] if isinstance(chosen, dict) else chosen) == expected
    assert [tool["function"]["name"] for tool in body["tools"]] == names


# The settings


def test_settings_get_the_names_that_a_chat_has() -> None:
    schema = {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True}
    body = chat(
        max_output_tokens=50,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": schema, "verbosity": "low"},
        temperature=0.5,
        top_p=0.9,
        parallel_tool_calls=False,
        prompt_cache_key="session",
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        top_logprobs=2,
        store=True,
        stream_options={"include_obfuscation": True},
        client_metadata={"x": 1},
    ).body
    assert {k: v for k, v in body.items() if k not in ("model", "messages")} == {
        "max_tokens": 50,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True},
        },
        "temperature": 0.5,
        "top_p": 0.9,
        "parallel_tool_calls": False,
        "prompt_cache_key": "session",
        "logprobs": True,
        "top_logprobs": 2,
    }


@pytest.mark.parametrize("limit", [None, -1, 0, 9, 9.0])
def test_a_limit_of_tokens_may_be_written_as_in_a_chat(limit: Any) -> None:
    normal = request_form.normal_request(chat(max_output_tokens=limit).body)
    assert normal.get("max_tokens") == (9 if limit == 9 else None)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        (
            {"previous_response_id": "resp_1"},
            "previous_response_not_found",
            "previous_response_id",
        ),
        ({"conversation": {"id": "c"}}, "conversation_not_found", "conversation"),
        ({"prompt": {"id": "p"}}, "prompt_not_found", "prompt"),
        ({"background": True}, "unsupported_parameter", "background"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "item_not_found", "input[0]"),
        ({"input": []}, "invalid_type", "input"),
        ({"input": 5}, "invalid_type", "input"),
        ({"input": ["hi"]}, "invalid_type", "input[0]"),
        ({"input": [{"role": "critic", "content": "a"}]}, "invalid_type", "input[0].role"),
        ({"input": [{"role": "tool", "content": "a"}]}, "invalid_type", "input[0].role"),
        ({"input": [{"role": None, "content": "a"}]}, "invalid_type", "input[0].role"),
        ({"tools": [{"type": "function"}]}, "invalid_type", "tools[0]"),
        ({"truncation": "some"}, "invalid_type", "truncation"),
        ({"max_output_tokens": True}, "invalid_type", "max_output_tokens"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "file_not_found",
            "input[0].content[0]",
        ),
    ],
    ids=str,
)
def test_what_can_not_be_done_is_refused_by_name(fields: Body, code: str, param: str) -> None:
    with pytest.raises(BadRequestError) as refusal:
        chat(**fields)
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (400, code, param)


# The answer


def chunk(finish: str | None = None, **delta: Any) -> Body:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def events(*chunks: Body, error: tuple[str, str] | None = None, **fields: Any) -> list[Body]:
    """The events of a stream, numbered without a gap and each under its own name."""
    stream = ResponsesApi().stream(Asked({"input": "hi", **fields}, "m"))
    sent = b"".join(map(stream.event, chunks))
    sent += stream.error(*error) if error else stream.end()
    found = []
    for block in sent.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append(orjson.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def names(found: list[Body]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]


def whole(message: Body, finish: str = "stop", **fields: Any) -> Body:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    asked = Asked({"input": "hi", **fields}, "m")
    answer = ResponsesApi().whole({"choices": [choice], "usage": USAGE}, asked)
    found: Body = orjson.loads(orjson.dumps(answer))
    return found


def bare(items: list[Body]) -> list[Body]:
    return [{k: v for k, v in item.items() if k != "id"} for item in items]


STARTED = ["created", "in_progress"]
TEXT = ["output_item.added", "content_part.added", "output_text.delta", "output_text.delta"]
TEXT_END = ["output_text.done", "content_part.done", "output_item.done"]


def test_text_comes_in_deltas_and_then_whole() -> None:
    found = events(chunk(content="Hel"), chunk(content="lo"), chunk("stop"), {"usage": USAGE})
    assert names(found) == [*STARTED, *TEXT, *TEXT_END, "completed"]
    assert [e["delta"] for e in found if "delta" in e] == ["Hel", "lo"]
    response = found[-1]["response"]
    (item,) = response["output"]
    assert item["content"][0]["text"] == "Hello"
    assert {e.get("item_id", item["id"]) for e in found} == {item["id"]}
    assert response["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 13,
    }


def test_thinking_text_and_calls_are_items_in_the_order_in_which_they_come() -> None:
    found = events(
        chunk(reasoning_content="T"),
        chunk(content="A"),
        chunk(tool_calls=[{"index": 0, **call("weather", '{"city":"x"}')}]),
        chunk("tool_calls"),
    )
    kinds = [e["item"]["type"] for e in found if e["type"] == "response.output_item.done"]
    assert kinds == ["reasoning", "message", "function_call"]
    assert [e["output_index"] for e in found if e["type"] == "response.output_item.added"] == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "item"),
    [
        (
            "weather",
            '{"city":"x"}',
            {"type": "function_call", "name": "weather", "arguments": '{"city":"x"}'},
        ),
        (
            "agents__spawn",
            "{}",
            {
                "type": "function_call",
                "name": "spawn",
                "namespace": "agents",
                "arguments": "{}",
            },
        ),
        (
            "apply_patch",
            '{"input":"+ x"}',
            {"type": "custom_tool_call", "name": "apply_patch", "input": "+ x"},
        ),
        (
            "apply_patch",
            '{"patch":"+ x"}',
            {"type": "custom_tool_call", "name": "apply_patch", "input": "+ x"},
        ),
        (
            "local_shell",
            '{"command":["ls"],"timeout_ms":5}',
            {
                "type": "local_shell_call",
                "action": {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 5},
            },
        ),
    ],
    ids=["function", "namespace", "custom", "custom by another name", "shell"],
)
def test_a_call_comes_back_as_the_client_offered_its_tool(
    name: str, arguments: str, item: Body
) -> None:
    expected = {**item, "call_id": "call_1", "status": "completed"}
    made = call(name, arguments)
    found = events(chunk(tool_calls=[{"index": 0, **made}]), tools=EVERY_TOOL)
    assert bare(found[-1]["response"]["output"]) == [expected]
    answer = whole({"content": None, "tool_calls": [made]}, "tool_calls", tools=EVERY_TOOL)
    assert bare(answer["output"]) == [expected]


def test_the_text_of_a_custom_call_is_streamed_as_its_input() -> None:
    made = {"index": 0, **call("apply_patch", '{"input":"+ x"}')}
    found = events(chunk(tool_calls=[made]), tools=[PATCH])
    assert names(found)[2:6] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert [e.get("delta") or e.get("input") for e in found[3:5]] == ["+ x", "+ x"]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "max_output_tokens"), ("content_filter", "content_filter")],
)
def test_a_cut_answer_is_incomplete_and_names_the_reason(finish: str, reason: str) -> None:
    streamed = events(chunk(content="Hel"), chunk(finish))[-1]
    assert streamed["type"] == "response.incomplete"
    for response in (streamed["response"], whole({"content": "Hel"}, finish)):
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": reason}
        assert response["output"][-1]["status"] == "incomplete"
        assert response["completed_at"] is None


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        ("context_length_exceeded", "context_length_exceeded"),
        ("backend_failed", "server_error"),
        (None, "server_error"),
    ],
)
def test_an_answer_that_breaks_off_ends_as_failed_with_what_there_is(code: Any, sent: str) -> None:
    found = events(chunk(content="Hel"), error=("It broke off.", code))
    assert names(found) == [*STARTED, *TEXT[:3], "failed"]
    response = found[-1]["response"]
    assert response["status"] == "failed"
    assert response["error"] == {"code": sent, "message": "It broke off."}
    assert response["output"][0]["content"][0]["text"] == "Hel"


def test_an_error_before_the_first_event_is_a_whole_stream() -> None:
    assert names(events(error=("It broke off.", "backend_failed"))) == [*STARTED, "failed"]


def test_a_whole_answer_has_the_items_of_the_streamed_one() -> None:
    made = call("weather", '{"city":"x"}')
    answer = whole(
        {"content": "A", "reasoning": "T", "tool_calls": [made]}, "tool_calls", tools=[WEATHER]
    )
    streamed = events(
        chunk(reasoning="T"),
        chunk(content="A"),
        chunk("tool_calls", tool_calls=[{"index": 0, **made}]),
        {"choices": [], "usage": USAGE},
        tools=[WEATHER],
    )[-1]["response"]
    assert bare(answer["output"]) == bare(streamed["output"])
    assert answer["usage"] == streamed["usage"]


#: Of Open Responses: https://www.openresponses.org/reference
_REQUIRED = """
id object created_at completed_at status incomplete_details model previous_response_id instructions
output error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty
frequency_penalty top_logprobs temperature reasoning usage max_output_tokens max_tool_calls store
background service_tier metadata safety_identifier prompt_cache_key
"""


def test_a_response_repeats_its_request_and_has_every_field_that_clients_require() -> None:
    answer = whole(
        {"content": "A"},
        instructions="Be brief.",
        tools=[{"type": "function", "name": "f"}],
        metadata={"a": "b"},
        truncation="disabled",
    )
    assert set(_REQUIRED.split()) <= answer.keys()
    assert answer["instructions"] == "Be brief."
    assert answer["metadata"] == {"a": "b"}
    assert answer["truncation"] == "disabled"
    assert answer["store"] is False
    (tool,) = answer["tools"]
    assert tool == {
        "type": "function",
        "name": "f",
        "description": None,
        "parameters": None,
        "strict": None,
    }


# Bad input


def test_a_request_that_nests_as_deeply_as_one_may_is_repeated() -> None:
    deep: Any = {}
    for _ in range(250):
        deep = {"a": deep}
    found = events(chunk(content="x"), metadata=deep, tools=[{"type": "custom", "name": "f"}])
    assert found[-1]["response"]["metadata"] == deep


def test_of_very_many_things_left_out_a_header_names_the_first() -> None:
    found = chat(input=[turn_of("user", "a"), *({"type": f"x{n}"} for n in range(9999))])
    assert len(",".join(found.ignored)) < 2000


_SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text()
_KINDS = """
message reasoning function_call function_call_output custom_tool_call custom_tool_call_output
local_shell_call local_shell_call_output item_reference additional_tools web_search_call input_text
output_text refusal input_image input_file input_audio function custom namespace local_shell
web_search allowed_tools json_schema
"""
_NAMES = """
role content output call_id id name namespace arguments input action command summary text refusal
image_url file_data file_id tools parameters format definition mode schema effort env
"""
_FIELDS = """
input instructions tools tool_choice text reasoning max_output_tokens metadata truncation include
stream previous_response_id
"""
_KIND = st.sampled_from(_KINDS.split())


def _objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Body]:
    fields = st.dictionaries(st.sampled_from(_NAMES.split()), values, max_size=4)
    return st.builds(lambda kind, rest: {"type": kind, **rest}, _KIND, fields)


_VALUES = st.recursive(
    _SCALARS | _KIND, lambda inner: st.lists(inner, max_size=3) | _objects(inner), max_leaves=8
)


@given(st.dictionaries(st.sampled_from(_FIELDS.split()), _VALUES, max_size=5))
def test_whatever_a_client_sends_becomes_a_chat_or_a_named_mistake(body: Body) -> None:
    api = ResponsesApi()
    try:
        made = api.chat_request(body)
        request_validation.check_chat(made.body)
        request_form.normal_request(made.body)
    except BadRequestError as mistake:
        assert str(mistake)
        return
    asked = Asked(body, "m")
    stream = api.stream(asked)
    sent = stream.event(chunk(content="x")) + stream.end()
    assert b"response.completed" in sent
    assert orjson.dumps(api.whole({"choices": []}, asked))


@given(st.lists(_VALUES.map(lambda delta: {"choices": [{"delta": delta}]}), max_size=5))
def test_whatever_a_chunk_holds_the_stream_goes_on(chunks: list[Body]) -> None:
    assert names(events(*chunks))[-1] == "completed"
