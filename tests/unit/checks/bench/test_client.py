"""What the load generator records of real HTTP answers, good and bad."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.gateway.backends import DONE, STREAM, Call, Scenario, answer, chunk, event, running
from tests.unit.gateway.backends import usage as usage_event

from stoker.checks.bench import Timing
from stoker.checks.bench.load_generator import Halt, LoadClient, open_loop, session
from stoker.checks.bench.workloads import Request
from stoker.engines import Backend

KEY = "sk-the-key-itself"
ASKED = Request("/v1/chat/completions", {"stream": True})
LAST = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])


async def ask(scenario: Scenario, *, times: int = 1) -> list[Timing]:
    async with running(scenario) as [backend], session() as http:
        client = LoadClient(http, Backend(backend.url, "openai", KEY))
        return await open_loop(client.send, [ASKED] * times, [0.0] * times, Halt(30))


async def test_delays_of_a_server_are_measured() -> None:
    """It waits 150 ms, then 40 ms before each of 5 more tokens. A busy machine adds to both."""

    async def scenario(call: Call) -> None:
        await asyncio.sleep(0.15)
        await call.send(STREAM)
        for number in range(6):
            await asyncio.sleep(0.04 if number else 0)
            await call.send(chunk(event("x")))
        await call.send(chunk(LAST), chunk(usage_event(7, 6)), chunk(DONE), b"0\r\n\r\n")

    [timing] = await ask(scenario)
    assert timing.answered
    assert 0.15 <= timing.first_token_s < 0.15 + 1.0
    assert timing.token_s is not None
    assert 0.035 <= timing.token_s < 0.04 + 0.2
    assert (timing.prompt_tokens, timing.answer_tokens) == (7, 6)


async def test_a_role_is_no_token_and_thoughts_and_calls_are() -> None:
    deltas = (
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": None},
        {"reasoning_content": "hm"},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
        {"content": "x"},
    )

    async def scenario(call: Call) -> None:
        events = [event(choices=[{"index": 0, "delta": delta}]) for delta in deltas]
        await call.stream(*events, LAST, DONE)

    [timing] = await ask(scenario)
    assert len(timing.chunk_s) == 3
    assert timing.answer_tokens is None
    assert timing.tokens == 3


async def test_completions_count_their_text_and_cached_tokens_are_recorded() -> None:
    counts = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}

    async def scenario(call: Call) -> None:
        texts = [event(choices=[{"text": text, "finish_reason": None}]) for text in ("a", "b")]
        end = event(choices=[{"text": "", "finish_reason": "length"}])
        await call.stream(*texts, end, event(usage={**counts, "completion_tokens": 2}))

    [timing] = await ask(scenario)
    assert timing.answered
    assert (len(timing.chunk_s), timing.cached_tokens) == (2, 4)


async def test_an_event_in_many_small_pieces_is_one_event() -> None:
    async def scenario(call: Call) -> None:
        whole = event("größer") + event("x") + LAST + DONE
        await call.send(STREAM, *(chunk(bytes([byte])) for byte in whole), b"0\r\n\r\n")

    [timing] = await ask(scenario)
    assert timing.answered
    assert len(timing.chunk_s) == 2


async def refuses(call: Call) -> None:
    await call.send(answer(b'{"error": {"message": "no: %b"}}' % KEY.encode(), status=429))


async def answers_whole(call: Call) -> None:
    await call.send(answer(b"{}"))


async def sends_no_text(call: Call) -> None:
    await call.stream(LAST, DONE)


async def ends_early(call: Call) -> None:
    await call.stream(event("x"))


async def dies(call: Call) -> None:
    await call.send(STREAM, chunk(event("x")))
    call.die()


async def reports_an_error(call: Call) -> None:
    await call.stream(event("x"), event(error={"message": "out of memory"}), DONE)


async def sends_noise(call: Call) -> None:
    await call.stream(b"data: {not json\n\n", DONE)


@pytest.mark.parametrize(
    "data",
    [
        "null",
        "[]",
        "7",
        '{"choices": [null]}',
        '{"choices": {"index": 0}}',
        '{"choices": [{"delta": "x"}]}',
    ],
)
async def test_an_event_of_any_other_shape_is_a_failure_of_the_server(data: str) -> None:
    async def scenario(call: Call) -> None:
        await call.stream(event("x"), f"data: {data}\n\n".encode(), LAST, DONE)

    [timing] = await ask(scenario)
    assert timing.failure == "an event whose shape is not OpenAI's"


async def test_usage_that_can_not_be_read_is_no_usage() -> None:
    for usage in ("none", {"prompt_tokens": "9", "prompt_tokens_details": [4]}):

        async def scenario(call: Call, usage: object = usage) -> None:
            await call.stream(event("x"), event(choices=[], usage=usage), LAST, DONE)

        [timing] = await ask(scenario)
        assert timing.answered
        assert (timing.prompt_tokens, timing.cached_tokens) == (None, None)


@pytest.mark.parametrize(
    ("scenario", "failure"),
    [
        (refuses, "status 429: no: [key]"),
        (answers_whole, "an answer in application/json, not a stream"),
        (sends_no_text, "an empty answer"),
        (ends_early, "the stream ended early"),
        (dies, "connection error: ClientPayloadError"),
        (reports_an_error, "an error in the stream"),
        (sends_noise, "an event that is not JSON"),
    ],
)
async def test_each_failure_is_named_and_none_gives_away_the_key(
    scenario: Scenario, failure: str
) -> None:
    [timing] = await ask(scenario)
    assert timing.failure == failure
    assert not timing.answered


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    async with session() as http:
        client = LoadClient(http, Backend("http://127.0.0.1:1", "openai"))
        [timing] = await open_loop(client.send, [ASKED], [0.0], Halt(30))
    assert timing.failure == "connection error: ClientConnectorError"


async def test_no_request_waits_for_the_connection_of_another() -> None:
    """More than the hundred connections that an HTTP client allows itself by default."""
    arrived = 0
    all_there = asyncio.Event()

    async def scenario(call: Call) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 130:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 20)
        await call.stream(event("x"), LAST, DONE)

    found = await ask(scenario, times=130)
    assert all(timing.answered for timing in found)
