"""A field that changes nothing in the answer does not make a request fail: it is left out."""

from __future__ import annotations

import json
import logging
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import DONE, MODEL, Call, Scenario, answer, event, gateway_with

from stoker.gateway.relay.refused_fields import named_in, without

GOOD = b'{"choices":[{"index":0,"message":{"content":"Hello"}}]}'
TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "yes", "refusal": None, "reasoning_content": "hm"},
    {"role": "user", "content": "go on"},
]
TOOL = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}

#: What servers answer to a field that they do not know, and the field.
WORDS: dict[str, tuple[str | dict[str, Any], str]] = {
    "vLLM before 0.6 (pydantic's text in OpenAI's form)": (
        {
            "object": "error",
            "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'store'), 'msg': 'Extra "
            "inputs are not permitted', 'input': False}]",
        },
        "store",
    ),
    "FastAPI": (
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "parallel_tool_calls"],
                    "msg": "Extra inputs are not permitted",
                    "input": {"user": "x"},
                }
            ]
        },
        "parallel_tool_calls",
    ),
    "OpenAI": (
        {"error": {"message": "Unknown parameter.", "param": "metadata", "code": "unknown"}},
        "metadata",
    ),
    "OpenAI, older": (
        {"error": {"message": "Unrecognized request argument supplied: user"}},
        "user",
    ),
    "Go's decoder": ({"error": 'json: unknown field "service_tier"'}, "service_tier"),
    "Rust's serde": (
        "Failed to deserialize the JSON body: unknown field `prompt_cache_key`, expected `model`",
        "prompt_cache_key",
    ),
    "a JSON schema": (
        {"message": "Additional properties are not allowed ('user' was unexpected)"},
        "user",
    ),
    "Python's call": (
        {"detail": "create() got an unexpected keyword argument 'stream_options'"},
        "stream_options",
    ),
    "OpenAI's list": (
        {"error": {"message": "Unrecognized request arguments supplied: metadata, other"}},
        "metadata",
    ),
    "serde, which lists the fields that it knows": (
        "unknown field `parallel_tool_calls`, expected one of `messages`, `store`, `user`",
        "parallel_tool_calls",
    ),
    "how much to think": (
        {"error": {"message": "Unrecognized request argument supplied: reasoning_effort"}},
        "reasoning_effort",
    ),
    "LiteLLM's list": (
        {"error": {"message": "m does not support parameters: ['verbosity'], for model=m"}},
        "verbosity",
    ),
    "an English word that is refused": ({"message": "store is not supported here"}, "store"),
    "a field with its default": (
        {"error": {"message": "`response_format` is not supported by this model"}},
        "response_format",
    ),
}
REQUEST: dict[str, Any] = {
    "model": MODEL,
    "messages": TURNS,
    "tools": [TOOL],
    "stream_options": {"include_usage": True},
    "parallel_tool_calls": True,
    "store": False,
    "metadata": {},
    "user": "x",
    "service_tier": "auto",
    "prompt_cache_key": "k",
    "reasoning_effort": "high",
    "verbosity": "low",
    "response_format": {"type": "text"},
    "temperature": 0.2,
}


def refusal_of(words: str | dict[str, Any]) -> bytes:
    return words.encode() if isinstance(words, str) else json.dumps(words).encode()


@pytest.mark.parametrize(("words", "field"), WORDS.values(), ids=WORDS)
def test_the_words_name_one_field_and_only_that_is_left_out(
    words: str | dict[str, Any], field: str
) -> None:
    named = named_in(refusal_of(words), REQUEST)
    assert named == {(field,)}
    assert without(REQUEST, named) == {k: v for k, v in REQUEST.items() if k != field}


@pytest.mark.parametrize(
    "words",
    [
        "Unsupported parameter: 'temperature'",
        "user messages are not supported after a tool",
        "body.messages.0.user.content: Extra inputs are not permitted",
        "Unsupported value: 'reasoning_effort' does not support 'high' with this model",
        {"detail": [{"loc": ["body", "reasoning_effort"], "msg": "Input should be 'low'"}]},
        "The last user message is empty",
        "unknown field: tools",
        {"detail": [{"loc": ["body", "messages"], "msg": "missing", "input": REQUEST}]},
        {"error": {"message": "context length exceeded", "code": 400}},
        "",
        "null",
        "[[[]]]",
    ],
)
def test_what_changes_the_answer_or_is_not_named_stays(words: Any) -> None:
    assert not named_in(refusal_of(words), REQUEST)


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (
            {"detail": [{"loc": ["body", "messages", 1, "assistant", "refusal"], "msg": "Extra"}]},
            ("messages", "*", "refusal"),
        ),
        (
            "'messages.1': property 'reasoning_content' is unsupported",
            ("messages", "*", "reasoning_content"),
        ),
        (
            {"message": "tools[0].function.strict: Extra inputs are not permitted"},
            ("tools", "*", "function", "strict"),
        ),
    ],
)
def test_a_field_inside_of_messages_and_tools_is_left_out_of_each(
    words: Any, path: tuple[str, ...]
) -> None:
    assert named_in(refusal_of(words), REQUEST) == {path}
    assert f'"{path[-1]}"' not in json.dumps(without(REQUEST, [path]))


def test_name_of_a_participant_is_left_out_and_not_the_user_of_the_request() -> None:
    words = {"detail": [{"loc": ["body", "messages", 0, "user", "name"], "msg": "Extra inputs"}]}
    turns = [{"role": "user", "name": "ann", "content": "Hi"}]
    named = named_in(refusal_of(words), {"messages": turns, "user": "x"})
    assert named == {("messages", "*", "name")}
    assert without({"messages": turns}, named)["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("sent", "other"),
    [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")],
)
def test_a_limit_goes_by_its_other_name(sent: str, other: str) -> None:
    words = f"Unsupported parameter: '{sent}'. Use '{other}' instead."
    named = named_in(words.encode(), {sent: 5})
    assert without({sent: 5}, named) == {other: 5}
    assert not named_in(b"max_tokens is too large: 5", {sent: 5})


@pytest.mark.parametrize("value", [2, {"type": "json_object"}])
def test_only_the_default_of_a_field_that_matters_is_left_out(value: Any) -> None:
    for name in ("n", "response_format", "logprobs"):
        assert without({name: value}, [(name,)]) == {name: value}


def refuses(*fields: str, status: int = 422, words: str = "unknown field `{}`") -> Scenario:
    """A server that refuses these fields, one at a time."""

    async def scenario(call: Call) -> None:
        for name in fields:
            if name in call.body:
                body = orjson.dumps({"error": {"message": words.format(name)}})
                return await call.send(answer(body, status=status))
        if call.body.get("stream"):
            return await call.stream(event("Hello"), DONE)
        return await call.send(answer(GOOD))

    return scenario


@pytest.mark.parametrize("status", [400, 422, 500, 501])
async def test_a_refused_field_is_tried_once_and_left_out_from_then_on(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "stoker")
    async with gateway_with(refuses("stream_options", status=status)) as (front, (backend,)):
        first, second = await front.stream(), await front.stream()
        sent = ["stream_options" in call.body for call in backend.calls]
    assert b"Hello" in first
    assert b"Hello" in second
    assert sent == [True, False, False]
    assert caplog.text.count("refuses stream_options: left out from now on") == 1


async def test_what_only_the_gateway_added_is_tried_without_also_where_it_is_not_named() -> None:
    async with gateway_with(refuses("stream_options", words="Bad Request")) as (front, (backend,)):
        assert b"Hello" in await front.stream()
        assert b"Hello" in await front.stream()
        assert len(backend.calls) == 3


async def test_a_server_that_took_the_field_once_is_not_asked_twice() -> None:
    async with gateway_with(refuses("stop", words="Bad Request")) as (front, (backend,)):
        await front.stream()
        assert (await front.chat(stream=True, stop=["x"])).status == 422
        assert len(backend.calls) == 2


async def test_several_refused_fields_of_a_client_are_left_out_one_by_one() -> None:
    fields = {"store": False, "metadata": {}, "service_tier": "auto"}
    async with gateway_with(refuses(*fields)) as (front, (backend,)):
        assert (await front.chat(**fields)).status == 200
        assert (await front.chat(**fields)).status == 200
        assert len(backend.calls) == 5
        assert not fields.keys() & backend.calls[-1].body.keys()


async def test_a_field_that_changes_the_answer_is_refused_in_the_servers_words() -> None:
    async with gateway_with(refuses("seed")) as (front, (backend,)):
        reply = await front.chat(seed=5)
        assert (reply.status, reply.error["message"]) == (422, "unknown field `seed`")
        assert len(backend.calls) == 1


async def test_another_server_still_gets_the_field() -> None:
    async with gateway_with(refuses("user"), refuses(), max_concurrent=1) as (front, backends):
        for _ in range(4):
            assert (await front.chat(user="x")).status == 200
        assert all("user" in call.body for call in backends[1].calls)


async def test_a_server_that_refuses_whatever_is_sent_is_relayed_and_nothing_is_learned() -> None:
    async with gateway_with(refuses("model")) as (front, (backend,)):
        for _ in range(2):
            assert (await front.chat(stream=True)).status == 422
        assert "stream_options" in backend.calls[2].body


async def test_fields_that_start_with_an_underscore_never_reach_a_server() -> None:
    schema = {"type": "object", "properties": {"_a": {"type": "string"}}}
    tool = {"type": "function", "_seen": 1, "function": {"name": "f", "parameters": schema}}
    message = {"role": "user", "content": "hi", "_id": 5}
    async with gateway_with(refuses()) as (front, (backend,)):
        await front.chat(messages=[message], tools=[tool], _options={"a": 1})
        sent = backend.calls[0].body
    assert "_options" not in sent
    assert sent["messages"] == [{"role": "user", "content": "hi"}]
    assert sent["tools"][0].keys() == {"type", "function"}
    assert sent["tools"][0]["function"]["parameters"] == schema
