"""What clients of each API send that no page of the API allows: an answer, or that API's error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import (
    DONE,
    MODEL,
    STREAM,
    Call,
    Front,
    Reply,
    answer,
    chunk,
    event,
    gateway_with,
    usage,
)

Body = dict[str, Any]

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
BOTH = pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
#: What ends a complete stream.
ENDS = {CHAT: b"data: [DONE]\n\n", MESSAGES: b"message_stop", RESPONSES: b"response.completed"}
#: A conversation in each API's form, with what the test puts before the last question.
Turns = Mapping[str, list[Body]]


async def answers(call: Call) -> None:
    if call.body.get("stream"):
        await call.stream(event("Hel"), event("lo"), FINISH, usage(), DONE)
        return
    message = {"role": "assistant", "content": "Hello"}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    counts = {"prompt_tokens": 7, "completion_tokens": 3}
    await call.send(answer(orjson.dumps({**whole, "usage": counts})))


def body_of(path: str, turns: list[Body], **fields: Any) -> Body:
    turns = [*turns, {"role": "user", "content": "Go on."}]
    named = {"input": turns} if path == RESPONSES else {"messages": turns, "max_tokens": 50}
    return {"model": MODEL, **named, **fields}


async def ask(front: Front, path: str, body: Body) -> Reply:
    return await front.post(orjson.dumps(body), path)


def is_error_of(path: str, reply: Reply) -> bool:
    """Whether a refusal has the form that this API's clients read."""
    value = orjson.loads(reply.body)
    message = value["error"]["message"]
    return bool(message) and (value.get("type") == "error") is (path == MESSAGES)


def call_and_result(path: str, *, called: bool = True) -> list[Body]:
    """A call of a tool and its result; the result alone where it was not ``called``."""
    if path == RESPONSES:
        call: Body = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
        result: Body = {"type": "function_call_output", "call_id": "c1", "output": "42"}
    elif path == MESSAGES:
        use = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
        back = {"type": "tool_result", "tool_use_id": "c1", "content": "42"}
        call = {"role": "assistant", "content": [use]}
        result = {"role": "user", "content": [back]}
    else:
        function = {"name": "f", "arguments": "{}"}
        use = {"id": "c1", "type": "function", "function": function}
        call = {"role": "assistant", "content": None, "tool_calls": [use]}
        result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    return [call, result] if called else [result]


def says(*content: Any) -> Body:
    return {"role": "assistant", "content": list(content)}


def text(path: str, said: str = "Well.") -> Body:
    return {"type": "output_text" if path == RESPONSES else "text", "text": said}


UNKNOWN = {"type": "hologram", "data": "AAAA"}
THOUGHT = {"type": "thinking", "thinking": "I changed this.", "signature": "another"}
CHANGED = {
    MESSAGES: [says(THOUGHT, text(MESSAGES), {**THOUGHT, "signature": ""}, text(MESSAGES))],
    RESPONSES: [
        {"type": "reasoning", "id": "rs_unknown", "summary": [], "encrypted_content": "AAAA"},
        says(text(RESPONSES)),
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "I changed this."}]},
        says(text(RESPONSES)),
    ],
}
#: Each with what of it must reach the model.
ANSWERED: dict[str, tuple[Turns, str]] = {
    "an unknown block beside text": (
        {
            path: [{"role": "user", "content": [{**text(path, "Look:"), "type": kind}, UNKNOWN]}]
            for path, kind in ((MESSAGES, "text"), (RESPONSES, "input_text"))
        },
        "Look:",
    ),
    "an unknown block in an answer": (
        {path: [says(text(path, "Well."), UNKNOWN)] for path in (MESSAGES, RESPONSES)},
        "Well.",
    ),
    "a result without its call": (
        {path: call_and_result(path, called=False) for path in (MESSAGES, RESPONSES)},
        "42",
    ),
    "a call without its result": (
        {path: call_and_result(path)[:1] for path in (MESSAGES, RESPONSES)},
        "Go on.",
    ),
    "a result twice": (
        {path: [*call_and_result(path), call_and_result(path)[1]] for path in ENDS if path != CHAT},
        "42",
    ),
    "thinking that was changed": (CHANGED, "Well."),
    "an answer of nothing": (
        {path: [says(), says()] for path in (MESSAGES, RESPONSES)},
        "Go on.",
    ),
}


@BOTH
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("turns", "kept"), ANSWERED.values(), ids=ANSWERED)
async def test_an_odd_conversation_is_answered(
    path: str, turns: Turns, kept: str, stream: bool
) -> None:
    async with gateway_with(answers) as (front, (backend,)):
        reply = await ask(front, path, body_of(path, turns[path], stream=stream))
    assert reply.status == 200, reply.body
    assert ENDS[path] in reply.body if stream else b"Hello" in reply.body
    (call,) = backend.calls
    assert kept in str(call.body["messages"])
    assert "AAAA" not in str(call.body)  # unreadable data is no part of a prompt


@BOTH
@pytest.mark.parametrize(
    "turns",
    [
        [{"content": "hi"}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": [5]}],
        [5],
    ],
    ids=str,
)
async def test_what_can_not_be_read_is_refused_in_the_form_of_its_api(
    path: str, turns: list[Any]
) -> None:
    async with gateway_with(answers) as (front, (backend,)):
        reply = await ask(front, path, body_of(path, turns, stream=True))
        again = await ask(front, path, body_of(path, []))
    assert reply.status == 400
    assert is_error_of(path, reply)
    assert again.status == 200
    assert len(backend.calls) == 1


@pytest.mark.parametrize("path", ENDS)
@pytest.mark.parametrize("filler", [0, 40_000], ids=["short", "of an agent"])
async def test_half_a_character_does_not_end_a_session(path: str, filler: int) -> None:
    half = rb"cut: \ud83d, \uDe00\u0041, whole: \ud83d\ude00, no escape: \\ud83d"
    question = {"role": "user", "content": "x" * filler}
    body = body_of(path, [question, {"role": "assistant", "content": "Well."}] * 3)
    sent = orjson.dumps(body).replace(b"Well.", half)
    async with gateway_with(answers) as (front, (backend,)):
        replies = [await front.post(sent, path) for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3
    for call in backend.calls:
        said = [m["content"] for m in call.body["messages"] if m["role"] == "assistant"]
        assert said[0] == "cut: \ufffd, \ufffdA, whole: \U0001f600, no escape: \\ud83d"


@BOTH
async def test_a_huge_list_of_instructions_reaches_the_model_whole(path: str) -> None:
    rules = [f"Rule {number}: never do it." for number in range(5000)]
    blocks = [text(MESSAGES, rule) for rule in rules]
    given: Body = {"system": blocks} if path == MESSAGES else {"instructions": "\n".join(rules)}
    async with gateway_with(answers) as (front, (backend,)):
        reply = await ask(front, path, body_of(path, [], **given))
    assert reply.status == 200
    system = backend.calls[0].body["messages"][0]
    assert system["role"] == "system"
    assert all(rule in system["content"] for rule in rules)


async def test_a_client_may_change_its_api_within_a_conversation() -> None:
    async with gateway_with(answers) as (front, (backend,)):
        for path in (CHAT, MESSAGES, RESPONSES, CHAT):
            reply = await ask(front, path, body_of(path, call_and_result(path), stream=True))
            assert reply.status == 200
            assert ENDS[path] in reply.body
    sent = [call.body["messages"] for call in backend.calls]
    results = [[m["content"] for m in messages if m["role"] == "tool"] for messages in sent]
    assert results == [["42"]] * 4


@pytest.mark.parametrize("path", ENDS)
@pytest.mark.parametrize("name", ["my model", " ", "mö del\n", "a" * 10_000, "../../etc"])
async def test_an_odd_name_of_a_model_is_unknown_in_the_form_of_its_api(
    path: str, name: str
) -> None:
    async with gateway_with(answers) as (front, (backend,)):
        reply = await ask(front, path, body_of(path, [], model=name))
    assert reply.status == 404
    assert is_error_of(path, reply)
    assert not backend.calls


@BOTH
async def test_a_client_that_reads_byte_by_byte_gets_its_answer(path: str) -> None:
    async def long_answer(call: Call) -> None:
        await call.send(STREAM)
        for _ in range(200):
            await call.send(chunk(event("x" * 2000)))
        await call.send(chunk(FINISH), chunk(usage()), chunk(DONE), b"0\r\n\r\n")

    async with gateway_with(long_answer) as (front, _):
        reader, writer = await front.connect()
        body = orjson.dumps(body_of(path, [], stream=True))
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        got = b"".join([await reader.readexactly(1) for _ in range(2000)])
        while not got.endswith(b"\r\n0\r\n\r\n"):
            got += await reader.read(1 << 16)
        writer.close()
    assert got.startswith(b"HTTP/1.1 200")
    assert ENDS[path] in got
