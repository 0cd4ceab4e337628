"""A backend that has Messages or Responses and no chats gets its clients' requests as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import (
    DONE,
    MODEL,
    STREAM,
    Call,
    Front,
    Scenario,
    Scripted,
    answer,
    chunk,
    gateway_with,
)

Body = dict[str, Any]
CHAT = "/v1/chat/completions"
NO_PATH = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n"
USAGE = {"input_tokens": 7, "output_tokens": 3}
TEXT = 'it says "type":"message_stop" and "prompt_tokens": 5\n\n[DONE]\n\n'


def named(value: Body) -> bytes:
    """An event as Messages and Responses name it."""
    return f"event: {value['type']}\ndata: ".encode() + orjson.dumps(value) + b"\n\n"


MESSAGES = [
    named({"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 0}}}),
    named({"type": "content_block_delta", "index": 0, "delta": {"text": TEXT}}),
    named({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 3}}),
    named({"type": "message_stop"}),
]
RESPONSES = [
    named({"type": "response.created", "sequence_number": 0, "response": {"error": None}}),
    named({"type": "response.output_text.delta", "sequence_number": 1, "delta": TEXT}),
    named({"type": "response.completed", "sequence_number": 2, "response": {"usage": USAGE}}),
]
STREAMS = {"/v1/messages": MESSAGES, "/v1/responses": RESPONSES}
WHOLE: dict[str, Body] = {
    "/v1/messages": {"id": "msg_1", "type": "message", "content": [], "usage": USAGE},
    "/v1/responses": {"id": "resp_1", "object": "response", "output": [], "usage": USAGE},
}
ASKED: dict[str, Body] = {
    "/v1/messages": {
        "model": MODEL,
        "max_tokens": 9,
        "system": [{"type": "text", "text": "rules", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hi"}],
    },
    "/v1/responses": {"model": MODEL, "input": "hi", "store": False, "include": ["x"]},
}
COUNTED = [
    f'stoker_tokens_total{{kind="{kind}",model="{MODEL}"}} {count}'
    for kind, count in (("prompt_tokens", 7.0), ("completion_tokens", 3.0))
]


@asynccontextmanager
async def without_chats(scenario: Scenario) -> AsyncIterator[tuple[Front, Scripted]]:
    """A gateway before a backend that answers with ``scenario``, and with 404 where it chats."""

    async def native(call: Call) -> None:
        if call.path == CHAT:
            await call.send(NO_PATH + b'{"detail":"Not Found"}')
        else:
            await scenario(call)

    async with gateway_with(native) as (front, (backend,)):
        yield front, backend


@pytest.mark.parametrize("path", STREAMS)
async def test_its_own_streams_are_passed_on_byte_for_byte_and_accounted(path: str) -> None:
    async def scenario(call: Call) -> None:
        await call.stream(*STREAMS[path], DONE)

    async with without_chats(scenario) as (front, backend):
        reply = await front.post(orjson.dumps({**ASKED[path], "stream": True}), path)
        metrics = await front.metrics()
    assert reply.body == b"".join(STREAMS[path])
    assert backend.calls[-1].body == {**ASKED[path], "stream": True}
    assert all(line in metrics for line in COUNTED)


@pytest.mark.parametrize("path", STREAMS)
async def test_its_whole_answers_are_passed_on_and_accounted(path: str) -> None:
    async def scenario(call: Call) -> None:
        await call.send(answer(orjson.dumps(WHOLE[path])))

    async with without_chats(scenario) as (front, _):
        reply = await front.post(orjson.dumps(ASKED[path]), path)
        metrics = await front.metrics()
    assert (reply.status, orjson.loads(reply.body)) == (200, WHOLE[path])
    assert "ignored" not in reply.headers.get("x-stoker-fit", "")
    assert all(line in metrics for line in COUNTED)


async def test_it_is_asked_for_a_chat_once() -> None:
    async def scenario(call: Call) -> None:
        await call.send(answer(orjson.dumps(WHOLE["/v1/messages"])))

    async with without_chats(scenario) as (front, backend):
        for _ in range(3):
            reply = await front.post(orjson.dumps(ASKED["/v1/messages"]), "/v1/messages")
            assert reply.status == 200
    assert [call.path for call in backend.calls].count(CHAT) == 1


@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_that_breaks_off_ends_with_an_error_of_its_api(path: str) -> None:
    async def scenario(call: Call) -> None:
        await call.send(STREAM, *map(chunk, STREAMS[path][:-1]))
        call.die()

    async with without_chats(scenario) as (front, _):
        reply = await front.post(orjson.dumps({**ASKED[path], "stream": True}), path)
    last = reply.body.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
    assert last.startswith(b"event: error\n")
    assert b"broke off" in last
    assert DONE not in reply.body


@pytest.mark.parametrize("path", STREAMS)
async def test_one_that_has_neither_is_named_and_asked_for_chats_again(path: str) -> None:
    async def scenario(call: Call) -> None:
        await call.send(NO_PATH + b'{"detail":"Not Found"}')

    async with without_chats(scenario) as (front, backend):
        for _ in range(2):
            reply = await front.post(orjson.dumps(ASKED[path]), path)
            assert reply.status == 404
            assert b"The model's server has no" in reply.body
    assert [call.path for call in backend.calls if call.path != "/v1/models"] == [CHAT, path] * 2


async def test_its_own_error_keeps_its_words_in_its_form() -> None:
    error = b'{"type":"error","error":{"type":"invalid_request_error","message":"too many"}}'

    async def scenario(call: Call) -> None:
        head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
        await call.send(head + b"Content-Length: %d\r\n\r\n" % len(error) + error)

    async with without_chats(scenario) as (front, _):
        reply = await front.post(orjson.dumps(ASKED["/v1/messages"]), "/v1/messages")
    assert reply.status == 400
    reported = orjson.loads(reply.body)
    assert (reported["type"], reported["error"]["message"]) == ("error", "too many")
