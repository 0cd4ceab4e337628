"""``/v1/messages`` before a server that has chats only: fitted, streamed, whole, and its errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
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
    Scenario,
    Scripted,
    answer,
    chunk,
    event,
    gateway_with,
    usage,
)
from tests.unit.gateway.test_counting import WINDOW, in_front_of_vllm

from stoker.gateway.client_apis.client_api import Asked
from stoker.gateway.client_apis.messages_api import MessagesApi
from stoker.gateway.relay.backend_connection import BackendGoneError
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.relay.tool_call_rewriter import TextCalls

Body = dict[str, Any]
QUESTION = {"role": "user", "content": "hi"}
TOOL = {"name": "read", "input_schema": {"type": "object", "properties": {}}}


def delta(finish: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return b"data: " + orjson.dumps({"id": "c", "choices": [choice]}) + b"\n\n"


def call(index: int, arguments: str, **fields: Any) -> bytes:
    function = {"arguments": arguments, **({"name": "read"} if fields else {})}
    return delta(tool_calls=[{"index": index, **fields, "function": function}])


SAID = (delta(role="assistant", content=""), event("Hel"), event("lo"))
END = (delta("stop"), usage(7, 3), DONE)
ENDS = {"event: error", "event: message_stop"}


def sends(*events: bytes) -> Scenario:
    async def scenario(call: Call) -> None:
        await call.stream(*events)

    return scenario


async def ask(door: Front, path: str = "/v1/messages", **fields: Any) -> Reply:
    body = {"model": MODEL, "max_tokens": 32_000, "messages": [QUESTION], **fields}
    return await door.post(orjson.dumps(body), path)


async def streamed(scenario: Scenario, **fields: Any) -> list[Body]:
    """The events that a client gets; each must have its type as its name."""
    async with gateway_with(scenario) as (door, _):
        reply = await ask(door, stream=True, **fields)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/event-stream")
    events = []
    for part in reply.body.decode().removesuffix("\n\n").split("\n\n"):
        name, data = part.split("\n")
        events.append(orjson.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def types(events: list[Body]) -> list[str]:
    return [each["type"].removeprefix("content_block_") for each in events]


async def test_stream_is_one_of_messages() -> None:
    events = await streamed(sends(*SAID, *END))
    assert types(events) == [
        "message_start", "start", "delta", "delta", "stop", "message_delta", "message_stop",
    ]  # fmt: skip
    start = events[0]["message"]
    assert (start["role"], start["model"], start["content"]) == ("assistant", MODEL, [])
    assert start["usage"]["input_tokens"] == 0  # it surely fits, so it was not counted
    assert [each["delta"] for each in events[2:4]] == [
        {"type": "text_delta", "text": "Hel"},
        {"type": "text_delta", "text": "lo"},
    ]
    assert events[5]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    counts = events[5]["usage"]
    assert (counts["input_tokens"], counts["output_tokens"]) == (7, 3)


async def test_thinking_text_and_calls_are_blocks_in_a_row() -> None:
    events = await streamed(
        sends(
            delta(reasoning_content="hm"),
            *SAID,
            call(0, '{"a"', id="c1"),
            call(0, ": 1}"),
            call(1, "{}", id="c2"),
            delta("tool_calls"),
            usage(),
            DONE,
        ),
        tools=[TOOL],
    )
    starts = [each for each in events if each["type"] == "content_block_start"]
    assert [(each["index"], each["content_block"]["type"]) for each in starts] == [
        (0, "thinking"), (1, "text"), (2, "tool_use"), (3, "tool_use"),
    ]  # fmt: skip
    assert [each["content_block"].get("id") for each in starts] == [None, None, "c1", "c2"]
    pieces = [each["delta"] for each in events if each["type"] == "content_block_delta"]
    assert pieces[:2] == [
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "stoker"},
    ]
    assert [orjson.loads(each["partial_json"]) for each in pieces[4:]] == [{"a": 1}, {}]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    stops = [each["index"] for each in events if each["type"] == "content_block_stop"]
    assert stops == [0, 1, 2, 3]


async def test_call_that_the_model_wrote_as_text_is_a_tool_use() -> None:
    written = '<tool_call>\n{"name": "read", "arguments": {}}\n</tool_call>'
    events = await streamed(sends(event(written), *END), tools=[TOOL])
    assert events[1]["content_block"]["name"] == "read"
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


async def test_whole_answer_for_a_stream_is_streamed() -> None:
    async def scenario(call: Call) -> None:
        message = {"role": "assistant", "content": "Hello"}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        await call.send(answer(orjson.dumps({"choices": [choice]})))

    events = await streamed(scenario)
    assert events[2]["delta"]["text"] == "Hello"
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    assert events[-1]["type"] == "message_stop"


async def broken_off(call: Call) -> None:
    await call.send(STREAM, *map(chunk, SAID))
    call.die()


@pytest.mark.parametrize(
    "scenario",
    [
        broken_off,
        sends(*SAID),
        sends(*SAID, b'data: {"error": {"message": "The model\'s server"}}\n\n', DONE),
    ],
    ids=["breaks off", "ends too soon", "reports an error"],
)
async def test_answer_that_breaks_off_ends_with_one_error(scenario: Scenario) -> None:
    events = await streamed(scenario)
    assert types(events) == ["message_start", "start", "delta", "delta", "error"]
    assert events[-1]["error"]["type"] == "api_error"
    assert events[-1]["error"]["message"].startswith("The model's server")


async def test_half_of_a_character_does_not_cost_the_text_beside_it() -> None:
    half = rb'data: {"choices": [{"index": 0, "delta": {"content": "cut: \ud83d"}}]}' + b"\n\n"
    events = await streamed(sends(half, event("lo"), *END))
    texts = [each["delta"]["text"] for each in events if each["type"] == "content_block_delta"]
    assert texts == ["cut: \ufffd", "lo"]


async def test_half_of_a_character_in_a_whole_answer_does_not_cost_the_text_beside_it() -> None:
    body = rb'{"choices": [{"index": 0, "message": {"content": "cut: \ud83d"}}]}'

    async def scenario(call: Call) -> None:
        await call.send(answer(body))

    async with gateway_with(scenario) as (door, _):
        reply = await ask(door)
    assert orjson.loads(reply.body)["content"] == [{"type": "text", "text": "cut: \ufffd"}]


async def test_stream_without_its_last_line_is_complete_where_its_reason_came() -> None:
    events = await streamed(sends(*SAID, delta("stop"), usage(7, 3)))
    assert events[-1]["type"] == "message_stop"
    assert events[-2]["usage"]["output_tokens"] == 3


async def test_backend_gets_a_chat_and_the_client_reads_what_was_ignored() -> None:
    async with gateway_with(sends(*SAID, *END)) as (door, (backend,)):
        reply = await ask(door, stream=True, system="Be brief.", thinking={"type": "adaptive"})
        metrics = await door.metrics()
    assert backend.calls[0].path == "/v1/chat/completions"
    assert backend.calls[0].body["messages"] == [
        {"role": "system", "content": "Be brief."}, QUESTION,
    ]  # fmt: skip
    assert backend.calls[0].body["stream_options"] == {"include_usage": True}
    assert reply.headers["x-stoker-fit"].endswith("ignored=thinking")
    assert 'path="/v1/messages"' in metrics
    assert f'kind="completion_tokens",model="{MODEL}"}} 3.0' in metrics


@contextlib.asynccontextmanager
async def refusing(status: int, body: Body) -> AsyncIterator[tuple[Front, list[Scripted]]]:
    async def scenario(call: Call) -> None:
        await call.send(answer(orjson.dumps(body), status=status))

    async with gateway_with(scenario) as found:
        yield found


def error_of(reply: Reply) -> tuple[int, str, str]:
    body = orjson.loads(reply.body)
    assert body.keys() == {"type", "error"}
    assert body["error"].keys() == {"type", "message"}
    return reply.status, body["error"]["type"], body["error"]["message"]


async def test_backends_refusal_is_one_of_messages() -> None:
    async with refusing(400, {"error": {"message": "No.", "code": 400}}) as (door, _):
        reply = await ask(door)
        assert error_of(reply) == (400, "invalid_request_error", "No.")
    async with refusing(429, {"error": {"message": "Busy."}}) as (door, _):
        assert error_of(await ask(door)) == (429, "rate_limit_error", "Busy.")


async def test_overflow_that_the_backend_reports_has_the_words_that_clients_know() -> None:
    words = "request (9 tokens) exceeds the available context size (8 tokens)"
    async with refusing(400, {"error": {"message": words, "code": 400}}) as (door, _):
        refused = error_of(await ask(door))
        chat = (await door.chat()).error
    assert refused == (400, "invalid_request_error", f"prompt is too long. {words}")
    assert (chat["message"], chat["code"]) == (words, "context_length_exceeded")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_gateways_refusal_is_one_of_messages(path: str) -> None:
    async with refusing(200, {}) as (door, _):
        status, kind, _ = error_of(await ask(door, path, model="other"))
        assert (status, kind) == (404, "not_found_error")
        status, kind, message = error_of(await ask(door, path, messages=[{}]))
        assert (status, kind) == (400, "invalid_request_error")
        assert message.startswith("messages.0 must be")
        status, kind, _ = error_of(await door.post(b"{", path))
        assert (status, kind) == (400, "invalid_request_error")


@pytest.mark.parametrize("path", ["/v1/messages/", "/v1/messages/batches"])
async def test_a_path_that_only_anthropic_has_is_refused_as_one_of_messages(path: str) -> None:
    async with refusing(200, {}) as (door, _):
        status, kind, message = error_of(await door.post(b"{}", path))
    assert (status, kind) == (404, "not_found_error")
    assert message.startswith(f"Not Found: POST {path}.")


async def test_conversation_is_counted_fitted_and_its_limit_lowered() -> None:
    earlier = [{"role": role, "content": "word " * 1500} for role in ("user", "assistant")]
    conversation = [*earlier, QUESTION]
    async with in_front_of_vllm() as (door, asked):
        counted = await ask(door, "/v1/messages/count_tokens", messages=conversation)
        assert orjson.loads(counted.body) == {"input_tokens": 3001}
        reply = await ask(door, messages=conversation)
        assert reply.status == 200
        assert "results=2" in reply.headers["x-stoker-fit"]
        assert asked[0]["messages"][-1] == QUESTION
        assert asked[0]["max_tokens"] < WINDOW


async def test_message_that_is_too_long_is_refused_in_words_that_clients_know() -> None:
    async with in_front_of_vllm() as (door, asked):
        reply = await ask(door, messages=[{"role": "user", "content": "word " * 3000}])
    status, kind, message = error_of(reply)
    assert (status, kind) == (400, "invalid_request_error")
    assert "prompt is too long: 3000 tokens > " in message
    assert f"this model's maximum context length is {WINDOW} tokens" in message
    assert not asked


async def test_first_event_has_the_tokens_where_they_were_counted() -> None:
    async with in_front_of_vllm() as (door, _):
        reply = await ask(door, stream=True, messages=[{"role": "user", "content": "word " * 900}])
        start = orjson.loads(reply.body.split(b"\n")[1].removeprefix(b"data: "))
    assert start["message"]["usage"]["input_tokens"] == 900


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "breaks off"])
async def test_wherever_a_stream_is_cut_the_client_gets_whole_events_and_one_end(
    ends: bool,
) -> None:
    sent = b"".join(
        [delta(reasoning_content="hm"), *SAID, call(0, "{}", id="c1"), delta("tool_calls"), *END]
    )
    for cut in range(len(sent) + 1):
        api = MessagesApi().stream(Asked({"messages": [QUESTION]}, MODEL))
        relayed = ResponseStream(None, streamed=True, rewrite=TextCalls(()), api=api)
        relayed.head(200, {b"content-type": b"text/event-stream"})
        relayed.body(sent[:cut])
        if ends:
            relayed.done()
        else:
            relayed.failed(BackendGoneError("gone"))
        events = relayed.writer.take_pending().decode().split("\n\n")
        *before, last = [each.partition("\n")[0] for each in events if each] or ["event: error"]
        assert last in ENDS, cut
        assert ENDS.isdisjoint(before), cut
