"""A backend that tells how far it reads a prompt is asked to, and the client gets none of it."""

from __future__ import annotations

import asyncio
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
)

from stoker.gateway import FitSettings
from stoker.gateway.relay.prefill_progress import PrefillProgress
from stoker.server import PrefillTotals
from stoker.server.gateway_metrics import totals_in

KEY = "prompt_progress"


def progress(read: int, total: int = 1000, **fields: Any) -> bytes:
    """As llama.cpp b11549 sends it."""
    reported = {"total": total, "cache": 0, "processed": read, "time_ms": 7}
    return event(None, **{KEY: reported}, **fields)


async def reads_then_answers(call: Call) -> None:
    await call.stream(progress(0), progress(600), event("Hello"), DONE)


async def test_the_client_gets_the_answer_alone() -> None:
    async with gateway_with(reads_then_answers, engine="llama.cpp") as (door, (backend,)):
        received = await door.stream()
    assert backend.calls[0].body["return_progress"] is True
    assert received == event("Hello") + DONE


async def test_a_client_that_asks_for_it_itself_gets_it() -> None:
    async with gateway_with(reads_then_answers, engine="llama.cpp") as (door, _):
        received = await door.stream(return_progress=True)
    assert received == progress(0) + progress(600) + event("Hello") + DONE


async def test_other_engines_and_whole_answers_are_not_asked_for_it() -> None:
    async with gateway_with(reads_then_answers, engine="vllm") as (door, (other,)):
        await door.stream()
    async with gateway_with(reads_then_answers, engine="llama.cpp") as (door, (whole,)):
        await door.chat()
    assert "return_progress" not in other.calls[0].body
    assert "return_progress" not in whole.calls[0].body


SLOW = FitSettings(max_prompt_tokens="auto")
#: 5,000 bytes: more than a batch or two.
LONG = [{"role": "user", "content": "word " * 1000}]


async def unfitted(door: Front, **fields: Any) -> Reply:
    """Ask for a whole answer, without a count that these servers can't make."""
    body = {"model": MODEL, "messages": LONG, **fields}
    return await door.post(orjson.dumps(body), headers={"x-stoker-fit": "off"})


async def reads_then_ends(call: Call) -> None:
    received = [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}}]
    end = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 1000, "completion_tokens": 1, "total_tokens": 1001}
    timings = {"prompt_n": 1000, "prompt_ms": 7.5}
    last = event(choices=[], usage=usage, timings=timings)
    await call.stream(progress(0), progress(600), event(choices=received), event(choices=end), last)


async def test_a_whole_answer_to_a_long_prompt_is_asked_for_as_a_stream() -> None:
    """Only so the server notices beside another stream that its client has left."""
    async with gateway_with(reads_then_ends, engine="llama.cpp", fit=SLOW) as (door, (backend,)):
        reply = await unfitted(door)
    assert {"stream": True, "return_progress": True}.items() <= backend.calls[0].body.items()
    whole = orjson.loads(reply.body)
    message = {"role": "assistant", "content": "Hello"}
    assert whole["choices"] == [{"index": 0, "finish_reason": "stop", "message": message}]
    assert whole["usage"]["prompt_tokens"] == whole["timings"]["prompt_n"] == 1000
    assert KEY not in whole


@pytest.mark.parametrize(
    "fields",
    [
        {"logprobs": True},
        {"n_probs": 2},
        {"messages": [*LONG, {"role": "assistant", "content": "It is"}]},
    ],
)
async def test_a_whole_answer_that_a_stream_would_change_is_asked_for_whole(
    fields: dict[str, Any],
) -> None:
    async with gateway_with(reads_then_ends, engine="llama.cpp", fit=SLOW) as (door, (backend,)):
        await unfitted(door, **fields)
    assert "stream" not in backend.calls[0].body


async def test_a_backend_that_dies_while_it_reads_has_answered_nothing_yet() -> None:
    async def dies(call: Call) -> None:
        await call.send(STREAM, chunk(progress(300)))
        call.die()

    async with gateway_with(dies, reads_then_answers, engine="llama.cpp") as (door, _):
        assert await door.stream() == event("Hello") + DONE


@pytest.mark.parametrize(
    ("streamed", "fields"), [(True, {}), (True, {"return_progress": True}), (False, {})]
)
async def test_the_metrics_show_what_is_still_to_be_read(
    streamed: bool, fields: dict[str, Any]
) -> None:
    async def reads(call: Call) -> None:
        await call.send(STREAM, chunk(progress(600)))
        await call.writer.wait_closed()

    async with gateway_with(reads, engine="llama.cpp", fit=SLOW) as (door, _):
        client = asyncio.create_task(door.stream(**fields) if streamed else unfitted(door))
        await shown(door, 400, of=1000)
        client.cancel()
        await shown(door, 0, of=0)


async def shown(door: Front, tokens: int, of: int) -> None:
    """Wait until ``/metrics`` says that so many are unread."""
    deadline = asyncio.get_running_loop().time() + 3
    found = PrefillTotals(0, 0, 0, 0.0, 0, reading_tokens=of, unread_tokens=tokens)
    while totals_in((await metrics(door)).encode()) != found:
        assert asyncio.get_running_loop().time() < deadline, "they are not shown"


async def metrics(door: Front) -> str:
    async with door.http.get(door.url + "/metrics") as response:
        return await response.text()


@pytest.mark.parametrize(
    "kept",
    [
        event(KEY),
        event(f'"{KEY}": {{}}'),
        b": a comment\n\n",
        b"data: " + orjson.dumps({"type": "response.in_progress", KEY: {}}) + b"\n\n",
    ],
)
def test_what_is_the_answers_own_is_kept(kept: bytes) -> None:
    reading = PrefillProgress(KEY)
    assert reading.taken_from(kept + progress(600) + kept) == kept + kept


def test_numbers_that_make_no_sense_count_as_nothing_unread() -> None:
    reading = PrefillProgress(KEY)
    for reported in ({}, {"total": "many"}, {"total": 3, "processed": 9}):
        reading.taken_from(event(None, **{KEY: reported}))
        assert reading.unread_tokens == 0


async def test_where_reading_is_quick_a_whole_answer_is_asked_for_as_such() -> None:
    """Joining a stream costs half a millisecond, and little is read for one that left."""

    async def scenario(call: Call) -> None:
        await call.send(answer(orjson.dumps({"choices": []})))

    async with gateway_with(scenario, engine="llama.cpp") as (door, (backend,)):
        await unfitted(door)
    assert "stream" not in backend.calls[0].body
