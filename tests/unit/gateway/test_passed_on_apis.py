"""llama.cpp's own API is passed on, accounted, and ended in its way."""

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


def plain(value: Body) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


#: It looks like an end and a usage, and is neither.
TEXT = 'it says "stop":true and "tokens_evaluated": 5\n\n[DONE]\n\n'
PATH = "/infill"
#: As llama.cpp b11549 sends them.
INFILL = [
    plain({"content": TEXT, "stop": False}),
    plain({"content": "", "stop": True, "tokens_evaluated": 7, "tokens_predicted": 3}),
]
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


async def streamed(scenario: Scenario) -> tuple[bytes, str]:
    """What a client gets, and the gateway's metrics after it."""
    async with gateway_with(scenario) as (front, _):
        reply = await front.post(orjson.dumps({"model": MODEL, "stream": True}), PATH)
        assert reply.status == 200
        return reply.body, await front.metrics()


async def test_a_stream_is_passed_on_byte_for_byte_and_accounted() -> None:
    body, metrics = await streamed(sends(*INFILL))
    assert body == b"".join(INFILL)
    assert all(line in metrics for line in COUNTED)
    assert "stoker_backend_faults_total{" not in metrics


async def test_a_done_that_the_api_does_not_have_is_left_out() -> None:
    body, metrics = await streamed(sends(*INFILL, DONE))
    assert body == b"".join(INFILL)
    assert all(line in metrics for line in COUNTED)


async def test_a_stream_in_one_piece_with_other_line_ends_is_whole() -> None:
    body, metrics = await streamed(sends(b"".join(INFILL).replace(b"\n", b"\r\n")))
    assert body == b"".join(INFILL)
    assert all(line in metrics for line in COUNTED)


def last_event(body: bytes) -> Body:
    line = body.decode().removesuffix("\n\n").split("\n\n")[-1]
    value: Body = orjson.loads(line.removeprefix("data: "))
    return value


@pytest.mark.parametrize("make", [breaks_off_after, sends], ids=["breaks off", "ends"])
async def test_a_cut_stream_ends_with_an_error_of_its_api(make: Any) -> None:
    body, metrics = await streamed(make(*INFILL[:-1]))
    assert body.startswith(b"".join(INFILL[:-1]))
    assert DONE not in body
    assert last_event(body)["error"]["code"] == "backend_failed"
    assert "stoker_backend_faults_total{" in metrics


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
async def test_an_error_in_another_form_becomes_the_apis_own(error: Any) -> None:
    body, _ = await streamed(sends(INFILL[0], plain(error), DONE))
    assert body.startswith(INFILL[0])
    assert body.count(b"out of memory") == 1
    assert last_event(body)["error"]["message"] == "out of memory"


WHOLE: dict[str, Body] = {
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


async def test_wherever_a_stream_is_cut_into_pieces_the_client_gets_the_same() -> None:
    sent, form = b"".join(INFILL), PATH_RULES[PATH].stream_format
    for cut in range(len(sent) + 1):
        relayed = ResponseStream(None, streamed=True, form=form)
        relayed.head(200, {b"content-type": b"text/event-stream"})
        for piece in (sent[:cut], sent[cut:]):
            relayed.body(piece)
        relayed.done()
        assert relayed.writer.take_pending() == sent
        assert relayed.report.usage == {"prompt_tokens": 7, "completion_tokens": 3}
        assert not relayed.faults


async def test_wherever_a_stream_ends_too_soon_the_client_gets_one_error() -> None:
    sent, form = b"".join(INFILL), PATH_RULES[PATH].stream_format
    for end in range(len(sent) - 3):  # the last event's own end may be missing
        relayed = ResponseStream(None, streamed=True, form=form)
        relayed.head(200, {b"content-type": b"text/event-stream"})
        relayed.body(sent[:end])
        relayed.done()
        got = relayed.writer.take_pending()
        assert "error" in last_event(got), end
        assert got.count(b'"message":"The model') == 1
        assert relayed.faults
