"""The client gets the form of answer that it asked for, whatever form the server sends."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import (
    DONE,
    Call,
    Reply,
    Scenario,
    answer,
    event,
    gateway_with,
    usage,
)
from tests.unit.gateway.test_backend_faults import error_of, events_of, text_of

from stoker.gateway import GatewayTimings
from stoker.gateway.relay.event_framing import EventFramer, split

LOOK = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
NATIVE = {"id": "a", "type": "function", "function": {"name": "look", "arguments": {"at": 1}}}
PRINTED = '<tool_call>{"name": "look", "arguments": {"at": 1}}</tool_call>'
USAGE = {"prompt_tokens": 7, "completion_tokens": 3}
STREAM_BODY = event("Hel") + event("lo") + usage() + DONE


def sends(body: bytes, kind: str | None = "application/json", status: int = 200) -> Scenario:
    async def scenario(call: Call) -> None:
        sent = answer(body, kind=kind or "", status=status)
        await call.send(sent if kind else sent.replace(b"Content-Type: \r\n", b""))

    return scenario


def whole(message: dict[str, Any], **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    kept = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE}
    return orjson.dumps({**kept, "choices": [{**choice, **fields}]})


async def streamed(scenario: Scenario, **fields: Any) -> bytes:
    async with gateway_with(scenario) as (front, _):
        return await front.stream(**fields)


async def asked(scenario: Scenario, **fields: Any) -> Reply:
    async with gateway_with(scenario) as (front, _):
        return await front.chat(**fields)


def deltas_in(body: bytes) -> list[dict[str, Any]]:
    return [choice["delta"] for e in events_of(body) for choice in e["choices"]]


def finish_of(body: bytes) -> str | None:
    reasons = [choice.get("finish_reason") for e in events_of(body) for choice in e["choices"]]
    return next((reason for reason in reversed(reasons) if reason), None)


# Event streams that do not look like one


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-ndjson",  # https://github.com/Lightning-AI/LitServe/issues/359
        None,  # https://github.com/nearai/private-ml-sdk/pull/20
        "application/octet-stream",
        "text/plain; charset=utf-8",
        "application/json",
        "Text/Event-Stream; Charset=UTF-8",
        "TEXT/EVENT-STREAM",
    ],
)
@pytest.mark.parametrize(
    "start",
    [
        b"",
        b": hello\n\n",
        b"\n\n",
        b"event: message\n",
        b"id: 1\n",
        b"retry: 5\n\n",
        b"\xef\xbb\xbf",
    ],
)
async def test_a_stream_is_one_by_its_body_whatever_its_content_type(
    kind: str | None, start: bytes
) -> None:
    body = await streamed(sends(start + STREAM_BODY, kind), tools=LOOK)
    assert text_of(body[body.index(b"data:") :]) == "Hello"
    assert body.count(b"[DONE]") == 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\r\r", b"\n\r\n"])
@pytest.mark.parametrize("cut", [1, 3, 50, 10_000])
@pytest.mark.parametrize("tools", [None, LOOK], ids=["unparsed", "parsed"])
async def test_events_may_end_with_any_line_end_with_or_without_an_empty_line(
    end: bytes, cut: int, tools: Any
) -> None:
    body = STREAM_BODY.replace(b"\n\n", end)

    async def scenario(call: Call) -> None:
        await call.stream(*(body[at : at + cut] for at in range(0, len(body), cut)))

    got = await streamed(scenario, **({"tools": tools} if tools else {}))
    assert text_of(got) == "Hello"


@pytest.mark.parametrize(
    "sent",
    [
        b'data: {\ndata: "id": 1}\n\n',  # one value over two lines, as the standard allows
        b"event: message_start\ndata: {}\n\n",  # Anthropic's events have a name
        b"data: {}\nid: 7\n\n",
    ],
)
def test_an_event_of_several_lines_stays_one(sent: bytes) -> None:
    assert len([e for e in split(EventFramer().feed(sent)) if b"data:" in e]) == 1


async def test_an_event_is_passed_on_when_its_line_is_there() -> None:
    framer = EventFramer()
    assert framer.feed(b'data: {"a": 1}\n') == b'data: {"a": 1}\n\n'
    assert framer.feed(b"\n") == b""
    assert framer.feed(b'data: {"b": 2}\ndata: [DONE]\n') == b'data: {"b": 2}\n\ndata: [DONE]\n\n'


async def test_calls_are_found_in_events_with_a_name_or_a_comment() -> None:
    named = b"event: message\nid: 1\n" + event(PRINTED) + b": comment\n" + event("") + DONE
    body = await streamed(sends(named, "text/event-stream"), tools=LOOK)
    assert any(delta.get("tool_calls") for delta in deltas_in(body))


# JSON where a stream was asked for


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain", None])
@pytest.mark.parametrize("tools", [None, LOOK], ids=["without tools", "with tools"])
async def test_one_json_body_becomes_a_stream(kind: str | None, tools: Any) -> None:
    # https://github.com/sgl-project/sglang/issues/2810
    message = {"content": "Hi", "reasoning_content": "hm", "tool_calls": [NATIVE, NATIVE]}
    fields = {"tools": tools} if tools else {}
    body = await streamed(sends(b"\n " + whole(message), kind), **fields)
    deltas = deltas_in(body)
    assert deltas[0]["role"] == "assistant"
    assert text_of(body) == "Hi"
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "hm"
    calls = [call for delta in deltas for call in delta.get("tool_calls") or []]
    assert [call["index"] for call in calls] == [0, 1]
    assert len({call["id"] for call in calls}) == 2
    assert [call["function"]["arguments"] for call in calls] == ['{"at":1}', '{"at":1}']
    assert finish_of(body) == "tool_calls"
    assert all(e["object"] == "chat.completion.chunk" for e in events_of(body))
    assert b'"usage"' not in body


async def test_its_usage_is_sent_to_who_asked_and_counted() -> None:
    async with gateway_with(sends(whole({"content": "Hi"}))) as (front, _):
        body = await front.stream(stream_options={"include_usage": True})
        last = events_of(body)[-1]
        assert (last["choices"], last["usage"]) == ([], USAGE)
        assert finish_of(body) == "stop"
        assert (
            'stoker_tokens_total{kind="prompt_tokens",model="coder"} 7.0' in await front.metrics()
        )


async def test_its_printed_calls_become_calls_and_thoughts_do_not() -> None:
    body = await streamed(sends(whole({"content": f"a {PRINTED}</think>{PRINTED}"})), tools=LOOK)
    assert sum("tool_calls" in delta for delta in deltas_in(body)) == 1
    assert text_of(body) == f"a {PRINTED}</think>"


async def test_several_choices_and_log_probabilities_are_kept() -> None:
    value = orjson.loads(whole({"content": "Hi"}, logprobs={"content": [{"token": "Hi"}]}))
    value["choices"].append({**value["choices"][0], "index": 1})
    events = events_of(await streamed(sends(orjson.dumps(value))))
    choices = [choice for e in events for choice in e["choices"]]
    assert {choice["index"] for choice in choices} == {0, 1}
    texts = [choice for choice in choices if choice["delta"].get("content")]
    assert texts[0]["logprobs"] == {"content": [{"token": "Hi"}]}


async def test_it_becomes_a_stream_that_has_begun_with_comments() -> None:
    async def late(call: Call) -> None:
        await asyncio.sleep(0.3)
        await call.send(answer(whole({"content": "Hi"})))

    async with gateway_with(late, timings=GatewayTimings(keep_alive_s=0.1)) as (front, _):
        assert text_of(await front.stream()) == "Hi"


async def test_lines_of_json_without_data_become_a_stream() -> None:
    body = STREAM_BODY.replace(b"data: ", b"").replace(b"[DONE]", b"").replace(b"\n\n", b"\n")
    assert text_of(await streamed(sends(body, "application/x-ndjson"))) == "Hello"


async def test_a_completion_becomes_a_stream_of_completions() -> None:
    choice = {"index": 0, "text": "Hi", "finish_reason": "stop"}
    value = {"id": "x", "object": "text_completion", "choices": [choice], "usage": USAGE}
    async with gateway_with(sends(orjson.dumps(value))) as (front, _):
        request = orjson.dumps({"model": "coder", "prompt": "a", "stream": True})
        got = await front.post(request, "/v1/completions")
        assert events_of(got.body)[0]["choices"] == [choice]


async def test_an_error_with_status_200_is_an_error() -> None:
    refusal = orjson.dumps({"error": {"message": "no memory", "type": "t"}})
    for stream in (True, False):
        reply = await asked(sends(refusal), stream=stream)
        assert (reply.status, reply.error["message"]) == (502, "no memory")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "boom"}, "boom"),
        ({"id": "x", "choices": None}, "JSON that holds no answer"),
        ({}, "JSON that holds no answer"),
    ],
)
async def test_json_without_an_answer_is_no_stream(body: dict[str, Any], words: str) -> None:
    async def odd(call: Call) -> None:
        await call.send(answer(orjson.dumps(body)))

    reply = await asked(odd, stream=True)
    assert reply.status == 502
    assert words in reply.error["message"]


async def test_what_is_no_answer_is_named_so_and_no_broken_connection_is_reported() -> None:
    for stream in (True, False):
        reply = await asked(sends(b"<html>Welcome</html>", "text/html"), stream=stream)
        assert reply.status == 502
        assert "neither JSON nor an event stream" in reply.error["message"]


# A stream where JSON was asked for


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", None])
@pytest.mark.parametrize("end", [b"\n\n", b"\n", b"\r\n\r\n"])
async def test_a_stream_becomes_one_json_body(kind: str | None, end: bytes) -> None:
    pieces: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "h"},
        {"reasoning_content": "m"},
        {"content": "H"},
        {"content": "i"},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"a'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 't":1}'}}]},
    ]
    events = [event(choices=[{"index": 0, "delta": delta}]) for delta in pieces]
    events += [event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]), usage(), DONE]
    body = b": hello\n\n" + b"".join(events)
    async with gateway_with(sends(body.replace(b"\n\n", end), kind)) as (front, _):
        for fields in ({}, {"tools": LOOK}):
            value = orjson.loads((await front.chat(**fields)).body)
            (choice,) = value["choices"]
            assert choice["message"] == {
                "role": "assistant",
                "content": "Hi",
                "reasoning_content": "hm",
                "tool_calls": [
                    {
                        "id": "a",
                        "type": "function",
                        "function": {"name": "look", "arguments": '{"at":1}'},
                    }
                ],
            }
            assert choice["finish_reason"] == "tool_calls"
            assert value["usage"] == USAGE
            assert value["object"] == "chat.completion"
        assert 'kind="prompt_tokens",model="coder"} 14.0' in await front.metrics()


async def test_a_stream_of_completions_becomes_one_completion() -> None:
    parts = [{"index": 0, "text": text, "finish_reason": None} for text in ("H", "i")]
    end = {"index": 0, "text": "", "finish_reason": "stop"}
    events = [event(choices=[part], object="text_completion") for part in [*parts, end]]
    async with gateway_with(sends(b"".join(events) + DONE)) as (front, _):
        request = orjson.dumps({"model": "coder", "prompt": "a"})
        value = orjson.loads((await front.post(request, "/v1/completions")).body)
    assert (value["choices"][0]["text"], value["choices"][0]["finish_reason"]) == ("Hi", "stop")
    assert value["object"] == "text_completion"


async def test_a_stream_that_broke_off_is_no_answer_and_its_error_is_passed_on() -> None:
    assert (await asked(sends(event("Hel"), "text/event-stream"))).status == 502
    refusal = b'data: {"error": {"message": "no memory"}}\n\n'
    reply = await asked(sends(event("Hel") + refusal, "text/event-stream"))
    assert (reply.status, reply.error["message"]) == (502, "no memory")


# Content in parts, where calls are sought and where not

PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": "Hi"},
]


@pytest.mark.parametrize("tools", [None, LOOK], ids=["unparsed", "parsed"])
async def test_content_in_parts_is_text_and_thinking(tools: Any) -> None:
    # https://docs.mistral.ai/capabilities/reasoning/: Magistral's content is such a list.
    fields = {"tools": tools} if tools else {}
    end = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    parts = [event(choices=[{"index": 0, "delta": {"content": [part]}}]) for part in PARTS]
    body = await streamed(sends(b"".join(parts) + end + DONE), **fields)
    assert text_of(body) == "Hi"
    assert any(delta.get("reasoning_content") == "hm" for delta in deltas_in(body))
    (choice,) = orjson.loads((await asked(sends(whole({"content": PARTS})), **fields)).body)[
        "choices"
    ]
    assert choice["message"]["content"] == "Hi"
    assert choice["message"]["reasoning_content"] == "hm"


async def test_a_refusal_that_comes_late_keeps_its_words() -> None:
    async def late(call: Call) -> None:
        await asyncio.sleep(0.3)
        await call.send(answer(b"<html>", kind="text/html"))

    async with gateway_with(late, timings=GatewayTimings(keep_alive_s=0.1)) as (front, _):
        assert "neither JSON nor an event stream" in error_of(await front.stream())["message"]


async def test_a_model_that_was_seen_to_think_calls_nothing_in_thinking_that_the_limit_cut() -> (
    None
):
    answers = iter(["I think.\n</think>Hello", f"I could {PRINTED} or"])

    async def scenario(call: Call) -> None:
        body = whole({"content": next(answers)}, finish_reason="length")
        await call.send(answer(body))

    async with gateway_with(scenario) as (front, _):
        await front.chat(tools=LOOK)
        cut = orjson.loads((await front.chat(tools=LOOK)).body)["choices"][0]
    assert cut["message"] == {"role": "assistant", "content": f"I could {PRINTED} or"}
    assert cut["finish_reason"] == "length"
