"""Responses and llama.cpp's own API are passed on, accounted, and ended in their way."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import (
    DONE,
    MODEL,
    STREAM,
    Call,
    Scenario,
    answer,
    chunk,
    event,
    gateway_with,
)

from stoker.gateway.api.path_rules import PATH_RULES
from stoker.gateway.relay.response_stream import ResponseStream

Body = dict[str, Any]


def named(value: Body) -> bytes:
    """An event as Messages and Responses name it."""
    return f"event: {value['type']}\ndata: ".encode() + orjson.dumps(value) + b"\n\n"


def plain(value: Body) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


#: It looks like an end and a usage, and is neither.
TEXT = 'it says "type":"response.completed" and "prompt_tokens": 5\n\n[DONE]\n\n'
#: As llama.cpp b11549 sends them.
USAGE = {"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 6}}
RESPONSES = [
    named({"type": "response.created", "sequence_number": 0, "response": {"error": None}}),
    named({"type": "response.output_text.delta", "sequence_number": 1, "delta": TEXT}),
    named({"type": "response.completed", "sequence_number": 2, "response": {"usage": USAGE}}),
]
INCOMPLETE = [
    *RESPONSES[:2],
    named({"type": "response.incomplete", "sequence_number": 2, "response": {"usage": USAGE}}),
]
INFILL = [
    plain({"content": TEXT, "stop": False}),
    plain({"content": "", "stop": True, "tokens_evaluated": 7, "tokens_predicted": 3}),
]
STREAMS = {
    "/v1/responses": RESPONSES,
    "/infill": INFILL,
}
COUNTED = [
    f'stoker_tokens_total{{kind="{kind}",model="{MODEL}"}} {count}'
    for kind, count in (("prompt_tokens", 7.0), ("completion_tokens", 3.0))
]


def sends(*events: bytes) -> Scenario:
    async def scenario(call: Call) -> None:
        await call.stream(*events)

    return scenario


def breaks_off_after(*events: bytes) -> Scenario:
    async def scenario(call: Call) -> None:
        await call.send(STREAM, *map(chunk, events))
        call.die()

    return scenario


async def streamed(scenario: Scenario, path: str) -> tuple[bytes, str]:
    """What a client gets, and the gateway's metrics after it."""
    async with gateway_with(scenario) as (front, _):
        reply = await front.post(orjson.dumps({"model": MODEL, "stream": True}), path)
        assert reply.status == 200
        return reply.body, await front.metrics()


@pytest.mark.parametrize(
    ("path", "events"), [*STREAMS.items(), ("/v1/responses", INCOMPLETE)], ids=str
)
async def test_a_stream_is_passed_on_byte_for_byte_and_accounted(
    path: str, events: list[bytes]
) -> None:
    body, metrics = await streamed(sends(*events), path)
    assert body == b"".join(events)
    assert all(line in metrics for line in COUNTED)
    assert "stoker_backend_faults_total{" not in metrics


@pytest.mark.parametrize("path", STREAMS)
async def test_a_done_that_the_api_does_not_have_is_left_out(path: str) -> None:
    body, metrics = await streamed(sends(*STREAMS[path], DONE), path)
    assert body == b"".join(STREAMS[path])
    assert all(line in metrics for line in COUNTED)


@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_in_one_piece_with_other_line_ends_is_whole(path: str) -> None:
    body, metrics = await streamed(sends(b"".join(STREAMS[path]).replace(b"\n", b"\r\n")), path)
    assert body == b"".join(STREAMS[path])
    assert all(line in metrics for line in COUNTED)


def last_event(body: bytes) -> Body:
    lines = body.decode().removesuffix("\n\n").split("\n\n")[-1].split("\n")
    value: Body = orjson.loads(lines[-1].removeprefix("data: "))
    if len(lines) > 1:
        assert lines[0] == f"event: {value['type']}"
    return value


@pytest.mark.parametrize("make", [breaks_off_after, sends], ids=["breaks off", "ends"])
@pytest.mark.parametrize("path", STREAMS)
async def test_a_cut_stream_ends_with_an_error_of_its_api(path: str, make: Any) -> None:
    whole = STREAMS[path]
    body, metrics = await streamed(make(*whole[:-1]), path)
    assert body.startswith(b"".join(whole[:-1]))
    assert DONE not in body
    error = last_event(body)
    if path == "/v1/responses":
        assert (error["type"], error["sequence_number"]) == ("error", 2)
        assert error.keys() >= {"code", "message", "param"}
    else:
        assert error["error"]["code"] == "backend_failed"
    assert "stoker_backend_faults_total{" in metrics


@pytest.mark.parametrize("path", ["/v1/responses"])
@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "out of memory", "code": 500}},
        {"error": "out of memory"},
        {"error": {"errors": [{"detail": "out of memory"}]}},
        {"object": "error", "message": "out of memory", "type": "ServerError", "code": 500},
    ],
    ids=["openai", "text", "list", "vllm"],
)
async def test_an_error_in_another_form_becomes_the_apis_own(path: str, error: Any) -> None:
    failed = [STREAMS[path][0], plain(error), DONE]
    body, _ = await streamed(sends(*failed), path)
    assert body.startswith(failed[0])
    assert body.count(b"out of memory") == 1
    assert last_event(body)["type"] == "error"


@pytest.mark.parametrize("path", ["/v1/responses"])
async def test_an_error_in_the_apis_own_form_is_passed_on(path: str) -> None:
    own = named({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
    body, _ = await streamed(sends(STREAMS[path][0], own), path)
    assert body == STREAMS[path][0] + own


WHOLE: dict[str, Body] = {
    "/v1/responses": {"object": "response", "usage": USAGE},
    "/v1/completions": {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
    "/infill": {"content": "x", "tokens_evaluated": 7, "tokens_predicted": 3},
}


@pytest.mark.parametrize("path", WHOLE)
async def test_a_whole_answer_is_accounted(path: str) -> None:
    async def scenario(call: Call) -> None:
        await call.send(answer(orjson.dumps(WHOLE[path])))

    async with gateway_with(scenario) as (front, _):
        reply = await front.post(orjson.dumps({"model": MODEL, "prompt": "x"}), path)
        assert orjson.loads(reply.body) == WHOLE[path]
        metrics = await front.metrics()
    assert all(line in metrics for line in COUNTED)


async def test_embeddings_are_accounted_as_prompt_tokens() -> None:
    async def scenario(call: Call) -> None:
        await call.send(answer(b'{"data":[],"usage":{"prompt_tokens":7,"total_tokens":7}}'))

    async with gateway_with(scenario) as (front, _):
        await front.post(orjson.dumps({"model": MODEL, "input": "x"}), "/v1/embeddings")
        metrics = await front.metrics()
    assert COUNTED[0] in metrics
    assert "completion_tokens" not in metrics


@pytest.mark.parametrize(("n", "completion"), [(2, 7.0), (1, 4.0)])
async def test_choices_that_a_server_reports_one_by_one_are_summed(
    n: int, completion: float
) -> None:
    reports = [event(usage={"prompt_tokens": 7, "completion_tokens": count}) for count in (3, 4)]
    async with gateway_with(sends(event("a"), *reports, DONE)) as (front, _):
        await front.stream(n=n)
        metrics = await front.metrics()
    assert COUNTED[0] in metrics
    assert f'kind="completion_tokens",model="{MODEL}"}} {completion}' in metrics


@pytest.mark.parametrize("path", STREAMS)
async def test_wherever_a_stream_is_cut_into_pieces_the_client_gets_the_same(path: str) -> None:
    sent, form = b"".join(STREAMS[path]), PATH_RULES[path].stream_format
    for cut in range(len(sent) + 1):
        relayed = ResponseStream(None, streamed=True, form=form)
        relayed.head(200, {b"content-type": b"text/event-stream"})
        for piece in (sent[:cut], sent[cut:]):
            relayed.body(piece)
        relayed.done()
        assert relayed.writer.take_pending() == sent
        assert relayed.report.usage == {"prompt_tokens": 7, "completion_tokens": 3}
        assert not relayed.faults


@pytest.mark.parametrize("path", STREAMS)
async def test_wherever_a_stream_ends_too_soon_the_client_gets_one_error(path: str) -> None:
    sent, form = b"".join(STREAMS[path]), PATH_RULES[path].stream_format
    for end in range(len(sent) - 3):  # the last event's own end may be missing
        relayed = ResponseStream(None, streamed=True, form=form)
        relayed.head(200, {b"content-type": b"text/event-stream"})
        relayed.body(sent[:end])
        relayed.done()
        got = relayed.writer.take_pending()
        last = last_event(got)
        assert "error" in (last.get("type"), *last), end
        assert got.count(b'"message":"The model') == 1
        assert relayed.faults
