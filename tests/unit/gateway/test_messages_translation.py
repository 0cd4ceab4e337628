"""Anthropic's Messages as chats and back: values in, values out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.client_apis.client_api import Asked, ChatRequest
from stoker.gateway.client_apis.messages_api import MessagesApi

Body = dict[str, Any]
API = MessagesApi()
QUESTION = {"role": "user", "content": "hi"}
EPHEMERAL = {"type": "ephemeral"}
PICTURE = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
IMAGE = {"type": "image", "source": PICTURE}
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
PDF = {"type": "document", "source": {"type": "base64", "data": "AAAA"}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a"}}
CHAT_CALL = {
    "id": "toolu_1",
    "type": "function",
    "function": {"name": "read", "arguments": '{"path":"a"}'},
}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}


def text(words: str, **fields: Any) -> Body:
    return {"type": "text", "text": words, **fields}


def result(content: Any, **fields: Any) -> Body:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **fields}


def translated(*messages: Body, **fields: Any) -> ChatRequest:
    return API.chat_request({"messages": list(messages) or [QUESTION], **fields})


def chat(*messages: Body, **fields: Any) -> Body:
    return translated(*messages, **fields).body


def messages(*given: Body, **fields: Any) -> list[Body]:
    found: list[Body] = chat(*given, **fields)["messages"]
    return found


@pytest.mark.parametrize(
    ("system", "content"),
    [
        ("Be brief.", "Be brief."),
        ([text("Be brief."), text("Be kind.", cache_control=EPHEMERAL)], "Be brief.\n\nBe kind."),
        ([text("x-anthropic-billing-header: cch=1a2b"), text("Be brief.")], "Be brief."),
    ],
)
def test_system_is_the_first_message(system: Any, content: str) -> None:
    assert messages(system=system) == [{"role": "system", "content": content}, QUESTION]


def test_empty_system_is_none() -> None:
    assert messages(system="") == messages(system=[]) == [QUESTION]


@pytest.mark.parametrize(
    ("content", "chat_content"),
    [
        ("hi", "hi"),
        ([text("one"), text("two")], "one\ntwo"),
        ([text("see"), IMAGE], [text("see"), IMAGE_PART]),
        (
            [{"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}],
            [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}],
        ),
        (
            [{"type": "document", "title": "a.txt", "source": {"type": "text", "data": "words"}}],
            "a.txt\nwords",
        ),
        (
            [{"type": "document", "source": {"type": "content", "content": [text("words")]}}],
            "words",
        ),
        (
            [{"type": "search_result", "source": "s", "title": "t", "content": [text("found")]}],
            "t\ns\nfound",
        ),
        (
            [{"type": "container_upload", "file_id": "f"}],
            "[A part of type 'container_upload' was left out: it can't be sent on.]",
        ),
    ],
    ids=["text", "texts", "image", "image at a URL", "text file", "blocks", "search", "unknown"],
)
def test_content_of_a_user(content: Any, chat_content: Any) -> None:
    (message,) = messages({"role": "user", "content": content})
    assert message == {"role": "user", "content": chat_content}


def test_document_that_is_no_text_is_refused_with_what_to_send_instead() -> None:
    with pytest.raises(BadRequestError, match="Send the document's text in its place"):
        chat({"role": "user", "content": [PDF]})


def test_document_further_back_is_no_reason_to_refuse_the_conversation() -> None:
    earlier, _, _ = messages(
        {"role": "user", "content": [PDF]}, {"role": "assistant", "content": "no"}, QUESTION
    )
    assert "document" in earlier["content"]
    assert "left out" in earlier["content"]


def test_answer_in_the_history_has_its_text_thinking_and_calls() -> None:
    thought = {"type": "thinking", "thinking": "I look.", "signature": "altered"}
    hidden = {"type": "redacted_thinking", "data": "x"}
    content = [thought, hidden, text("Let me see."), CALL]
    (message, _) = messages({"role": "assistant", "content": content}, QUESTION)
    assert message == {
        "role": "assistant",
        "content": "Let me see.",
        "reasoning_content": "I look.",
        "tool_calls": [CHAT_CALL],
    }


def test_results_are_messages_of_their_own_before_the_users_text() -> None:
    content = [text("Go on."), result("a"), result([text("b"), IMAGE], is_error=True)]
    assert messages({"role": "user", "content": content}) == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "a"},
        {
            "role": "tool",
            "tool_call_id": "toolu_1",
            "content": [text("The tool reports an error:\n"), text("b"), IMAGE_PART],
        },
        {"role": "user", "content": "Go on."},
    ]


def test_result_without_content_is_empty() -> None:
    (message,) = messages({"role": "user", "content": [result(None)]})
    assert message["content"] == ""


def test_tools_are_functions() -> None:
    tool = {"name": "read", "description": "Read.", "input_schema": SCHEMA, "strict": True}
    function = {"name": "read", "description": "Read.", "parameters": SCHEMA, "strict": True}
    request = translated(tools=[{**tool, "cache_control": EPHEMERAL}])
    assert request.body["tools"] == [{"type": "function", "function": function}]
    assert request.ignored == ("cache_control",)


def test_tools_that_the_client_runs_are_offered_and_others_are_named() -> None:
    own = [
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
        {"type": "memory_20250818", "name": "memory"},
    ]
    servers = [{"type": "web_search_20250305", "name": "web_search"}, {"type": "a b\r\nc: d"}]
    request = translated(tools=[*own, *servers])
    functions = [tool["function"] for tool in request.body["tools"]]
    assert [function["name"] for function in functions] == [tool["name"] for tool in own]
    assert all(function["parameters"]["properties"]["command"] for function in functions)
    assert request.ignored == ("a_b_c_d", "web_search_20250305")


def test_without_a_tool_that_can_be_offered_none_is_demanded() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    body = chat(tools=[search], tool_choice={"type": "tool", "name": "web_search"})
    assert body.keys() == {"messages"}


@pytest.mark.parametrize(
    ("choice", "fields"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "read"},
            {"tool_choice": {"type": "function", "function": {"name": "read"}}},
        ),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
    ],
)
def test_tool_choice(choice: Body, fields: Body) -> None:
    body = chat(tools=[{"name": "read", "input_schema": SCHEMA}], tool_choice=choice)
    assert {k: v for k, v in body.items() if k not in ("messages", "tools")} == fields


def test_other_fields_are_those_of_a_chat() -> None:
    request = translated(
        model="m",
        max_tokens=32_000,
        stop_sequences=["END"],
        stream=True,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        metadata={"user_id": "u"},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": SCHEMA}},
        thinking={"type": "enabled", "budget_tokens": 2000},
        service_tier="auto",
        container=None,
    )
    named = {"name": "answer", "schema": SCHEMA, "strict": True}
    assert request.body == {
        "model": "m",
        "messages": [QUESTION],
        "max_tokens": 32_000,
        "stop": ["END"],
        "stream": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "user": "u",
        "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": named},
    }
    assert request.ignored == ("service_tier", "thinking")


def test_asked_for_no_answer_the_model_writes_one_token() -> None:
    assert chat(max_tokens=0)["max_tokens"] == 1


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "hi"}]}, "messages.0"),
        ({"messages": [QUESTION, {"role": "user"}]}, "messages.1.content"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content"),
        ({"messages": [{"role": "assistant", "content": [{**CALL, "id": 5}]}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": [result(5)]}]}, "messages.0"),
        ({"system": 5}, "system"),
        ({"system": [IMAGE]}, "system"),
        ({"tools": {}}, "tools"),
        ({"tools": ["read"]}, "tools.0"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [{"name": "read"}], "tool_choice": "auto"}, "tool_choice"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"metadata": "me"}, "metadata"),
        ({"output_config": []}, "output_config"),
    ],
)
def test_wrong_shape_is_refused_with_its_place(fields: Body, where: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        API.chat_request({"messages": [QUESTION], **fields})
    assert str(refused.value).startswith(where)


odd = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats(allow_nan=False) | st.text("ax_ "),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=4,
)


def or_odd(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | odd


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Body]:
    return st.fixed_dictionaries({}, optional={k: or_odd(v) for k, v in fields.items()})


KINDS = "text image document search_result tool_use tool_result thinking redacted_thinking new"
sources = objects(
    type=st.sampled_from(["base64", "url", "text", "content"]),
    data=st.just("A"),
    url=st.just("u"),
    content=st.just("c"),
)
blocks = objects(
    type=st.sampled_from(KINDS.split()),
    text=st.text(max_size=3),
    source=sources,
    id=st.just("t"),
    name=st.just("read"),
    input=odd,
    tool_use_id=st.just("t"),
    content=st.just("c"),
    is_error=st.booleans(),
    thinking=st.just("hm"),
    title=st.just("t"),
    cache_control=st.just(EPHEMERAL),
)
conversation = st.lists(
    or_odd(
        objects(
            role=st.sampled_from(["user", "assistant", "system"]),
            content=st.just("hi") | st.lists(or_odd(blocks), max_size=3),
        )
    ),
    max_size=3,
)
tools = objects(
    name=st.just("read"),
    type=st.sampled_from(["custom", "bash_1", "web_search_1"]),
    input_schema=odd,
    description=odd,
    strict=odd,
)
bodies = objects(
    messages=conversation,
    system=st.just("s") | st.lists(blocks, max_size=2),
    tools=st.lists(or_odd(tools), max_size=2),
    tool_choice=objects(type=st.sampled_from(["auto", "any", "tool", "none"]), name=st.just("r")),
    max_tokens=st.integers(-1, 5),
    stop_sequences=st.lists(st.text(max_size=2), max_size=2),
    metadata=objects(user_id=odd),
    output_config=objects(effort=st.just("low"), format=odd),
    output_format=odd,
    thinking=odd,
)


@settings(max_examples=200, deadline=None)
@given(bodies)
def test_any_body_is_translated_or_refused(body: Body) -> None:
    try:
        request = API.chat_request(body)
    except BadRequestError:
        return
    orjson.dumps(request.body)
    assert all(name.isascii() and name.isprintable() for name in request.ignored)
    API.whole({"choices": [{"message": {"content": "x"}}]}, Asked(body, "m"))


def whole(message: Body, finish: str = "stop", asked: Body | None = None, **more: Any) -> Body:
    choice = {"index": 0, "message": message, "finish_reason": finish, **more}
    counts = {
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 12},
    }
    request = Asked({"messages": [QUESTION], **(asked or {})}, "m")
    return API.whole({"id": "c", "choices": [choice], "usage": counts}, request)


def test_whole_answer_is_a_message() -> None:
    answer = whole(
        {"reasoning_content": "hm", "content": "Let me see.", "tool_calls": [CHAT_CALL]},
        "tool_calls",
    )
    assert answer.pop("id").startswith("msg_")
    assert answer == {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "stoker"},
            {"type": "text", "text": "Let me see."},
            CALL,
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 8,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 12,
            "output_tokens": 5,
        },
    }


@pytest.mark.parametrize(
    ("finish", "matched", "reason"),
    [
        ("stop", None, ("end_turn", None)),
        ("length", None, ("max_tokens", None)),
        ("content_filter", None, ("refusal", None)),
        ("stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
        ("stop", {"matched_stop": "END"}, ("stop_sequence", "END")),
        ("stop", {"stop_reason": 151645}, ("end_turn", None)),
        ("stop", {"stop_reason": "other"}, ("end_turn", None)),
    ],
)
def test_reason_of_the_end(finish: str, matched: Body | None, reason: tuple[str, Any]) -> None:
    answer = whole({"content": "x"}, finish, {"stop_sequences": ["END"]}, **(matched or {}))
    assert (answer["stop_reason"], answer["stop_sequence"]) == reason


def test_text_that_the_answer_goes_on_with_is_not_repeated() -> None:
    asked = {"messages": [QUESTION, {"role": "assistant", "content": "The answer is"}]}
    for content in ("The answer is 5.", " 5."):
        assert whole({"content": content}, asked=asked)["content"] == [text(" 5.")]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (408, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
    ],
)
def test_error_has_the_type_of_its_status(status: int, kind: str) -> None:
    error = {"type": kind, "message": "No."}
    assert API.error(status, "No.", "any") == {"type": "error", "error": error}
