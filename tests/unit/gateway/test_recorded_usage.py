"""Each request that was asked of a model ends as one row of usage, however it ended."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import (
    DONE,
    MODEL,
    STREAM,
    Call,
    answer,
    chat_bytes,
    chunk,
    event,
    gateway_to,
    gateway_with,
    wait_for,
)

from stoker.access.api_keys import hash_of, keys_of
from stoker.gateway import GatewayTimings
from stoker.usage_records import UsageRow, UsageStore
from stoker.usage_records.sqlite_database import SqliteDatabase

KEYS = keys_of({"ann": hash_of("ann's key")})
ANN = {"Authorization": "Bearer ann's key"}
USAGE = {
    "prompt_tokens": 70,
    "completion_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 20},
}


@pytest.fixture
def store(tmp_path: Path) -> UsageStore:
    return UsageStore(SqliteDatabase(tmp_path / "usage.db"))


async def whole(call: Call) -> None:
    message = {"role": "assistant", "content": "hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await call.send(answer(orjson.dumps({"choices": [choice], "usage": USAGE})))


async def streamed(call: Call) -> None:
    await call.stream(event("hi"), event(usage=USAGE), DONE)


async def endless(call: Call) -> None:
    await call.send(STREAM, chunk(event("hi")))
    await asyncio.sleep(60)


async def breaks_off(call: Call) -> None:
    await call.send(STREAM, chunk(event("hi")))
    call.die()


def only_row(store: UsageStore) -> UsageRow:
    (row,) = store.rows()
    return row


async def test_whole_answer_is_recorded_with_its_owner_and_its_tokens(store: UsageStore) -> None:
    before = int(time.time() * 1000)
    body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "a secret"}]})
    headers = {**ANN, "x-session-id": "session-1"}
    async with gateway_with(whole, keys=KEYS, usage=store) as (served, _):
        assert (await served.post(body, headers=headers)).status == 200
    row = only_row(store)
    assert before <= row.arrived_ms <= int(time.time() * 1000)
    assert (row.owner, row.key_id, row.model) == ("ann", "ann", MODEL)
    assert (row.path, row.status) == ("/v1/chat/completions", 200)
    assert (row.prompt_tokens, row.completion_tokens) == (70, 30)
    assert (row.cached_tokens, row.reasoning_tokens) == (60, 20)
    assert row.first_byte_s is not None and row.queue_s is not None
    assert 0 <= row.queue_s <= row.first_byte_s <= row.total_s
    assert (row.cut_tokens, row.cut_tools, row.cut_steps) == (0, 0, "")
    assert row.session not in (None, "session-1")
    assert row.estimated == 0


async def test_nothing_that_was_written_to_a_model_is_recorded(
    store: UsageStore, tmp_path: Path
) -> None:
    async with gateway_with(whole, usage=store) as (served, _):
        await served.chat(messages=[{"role": "user", "content": "a secret"}])
    kept = (tmp_path / "usage.db").read_bytes()
    assert b"anyone" in kept
    assert b"secret" not in kept


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_stream_of_every_api_is_recorded(store: UsageStore, path: str) -> None:
    asked = [{"role": "user", "content": "hi"}]
    body = {"model": MODEL, "stream": True, "max_tokens": 9, "messages": asked, "input": asked}
    async with gateway_with(streamed, usage=store) as (served, _):
        assert (await served.post(orjson.dumps(body), path)).status == 200
    row = only_row(store)
    assert (row.path, row.status, row.prompt_tokens, row.completion_tokens) == (path, 200, 70, 30)
    assert (row.cached_tokens, row.reasoning_tokens) == (60, 20)


async def test_stream_whose_client_left_is_recorded_as_499(store: UsageStore) -> None:
    async with gateway_with(endless, usage=store) as (served, (backend,)):
        reader, writer = await served.connect()
        writer.write(chat_bytes())
        await reader.readuntil(b"hi")
        backend.left.clear()
        writer.transport.abort()
        await asyncio.wait_for(backend.left.wait(), 5)
    row = only_row(store)
    assert (row.status, row.estimated, row.completion_tokens) == (499, 1, 1)
    assert row.prompt_tokens is not None and 10 < row.prompt_tokens < 60
    assert row.first_byte_s is not None


async def test_first_report_of_a_stream_that_breaks_off_is_not_all_of_its_tokens(
    store: UsageStore,
) -> None:
    async def reports_early(call: Call) -> None:
        begun = event("hi", usage={"prompt_tokens": 70, "completion_tokens": 1})
        await call.send(STREAM, chunk(begun), *(chunk(event("word ")) for _ in range(9)))
        call.die()

    async with gateway_with(reports_early, usage=store) as (served, _):
        await served.stream()
    row = only_row(store)
    assert (row.estimated, row.prompt_tokens, row.completion_tokens) == (1, 70, 10)


async def test_stream_that_the_end_of_the_gateway_breaks_off_is_recorded(
    store: UsageStore,
) -> None:
    timings = GatewayTimings(shutdown_s=0.01)
    async with gateway_with(endless, usage=store, timings=timings) as (served, _):
        reader, writer = await served.connect()
        writer.write(chat_bytes())
        await reader.readuntil(b"hi")
    assert only_row(store).status == 499
    writer.transport.abort()


async def test_stream_whose_backend_broke_off_is_recorded_as_502(store: UsageStore) -> None:
    async with gateway_with(breaks_off, usage=store) as (served, _):
        await served.stream()
    row = only_row(store)
    assert (row.status, row.estimated, row.completion_tokens) == (502, 1, 1)


async def test_client_that_left_the_queue_is_recorded_without_a_first_byte(
    store: UsageStore,
) -> None:
    async with gateway_with(endless, max_concurrent=1, usage=store) as (served, _):
        first, one = await served.connect()
        one.write(chat_bytes())
        await first.readuntil(b"hi")
        _, other = await served.connect()
        other.write(chat_bytes())
        await wait_for(lambda: served.gateway.slots.waiting == 1)
        other.transport.abort()
        await wait_for(lambda: served.gateway.slots.waiting == 0)
        one.transport.abort()
    rows = {row.first_byte_s is None: row for row in store.rows()}
    assert rows.keys() == {True, False}
    assert rows[True].status == rows[False].status == 499
    assert (rows[True].estimated, rows[True].prompt_tokens) == (0, None)
    assert (rows[True].queue_s or 0) > 0


async def test_request_that_no_backend_can_take_is_recorded(store: UsageStore) -> None:
    async with gateway_to("http://127.0.0.1:9", usage=store) as served:
        assert (await served.chat()).status == 503
    row = only_row(store)
    assert (row.status, row.estimated, row.prompt_tokens) == (503, 0, None)


@pytest.mark.parametrize("status", [400, 502])
async def test_request_that_its_backend_refused_has_used_no_tokens(
    store: UsageStore, status: int
) -> None:
    async def refuses(call: Call) -> None:
        await call.send(answer(b'{"error": {"message": "no"}}', status=status))

    async with gateway_with(refuses, usage=store) as (served, _):
        assert (await served.chat()).status == status
    row = only_row(store)
    assert (row.status, row.estimated, row.prompt_tokens) == (status, 0, None)


async def test_client_that_left_while_its_prompt_was_read_has_used_the_prompt(
    store: UsageStore,
) -> None:
    async def reads(call: Call) -> None:
        await asyncio.sleep(60)

    async with gateway_with(reads, usage=store) as (served, (backend,)):
        _, writer = await served.connect()
        writer.write(chat_bytes())
        await wait_for(lambda: len(backend.calls) == 1)
        writer.transport.abort()
        await wait_for(lambda: served.gateway.pool.backends[0].in_flight == 0)
    row = only_row(store)
    assert (row.status, row.estimated, row.completion_tokens) == (499, 1, 0)
    assert row.prompt_tokens


async def test_prompt_that_is_longer_than_the_window_is_recorded(store: UsageStore) -> None:
    async def counts(call: Call) -> None:
        await call.send(answer(orjson.dumps({"count": len(str(call.body)) // 4})))

    async with gateway_with(counts, engine="sglang", usage=store) as (served, _):
        long = [{"role": "user", "content": "x" * 100_000}]
        assert (await served.chat(messages=long)).status == 400
    row = only_row(store)
    assert (row.status, row.prompt_tokens, row.first_byte_s) == (400, None, None)


async def test_what_was_cut_is_recorded_as_numbers_and_names_of_steps(store: UsageStore) -> None:
    async def reads(call: Call) -> None:
        if "tokenize" in call.path:
            await call.send(answer(orjson.dumps({"count": len(str(call.body)) // 4})))
        else:
            await whole(call)

    turns: list[dict[str, Any]] = [
        {"role": role, "content": "x" * 4000} for _ in range(12) for role in ("user", "assistant")
    ]
    async with gateway_with(reads, engine="sglang", usage=store) as (served, _):
        assert (
            await served.chat(messages=[*turns, {"role": "user", "content": "hi"}])
        ).status == 200
    row = only_row(store)
    assert row.cut_steps == "results messages"
    assert (row.cut_tokens > 10_000, row.cut_tools) == (True, 0)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (chat_bytes().partition(b"\r\n\r\n")[2], {}, 401),
        (b"no JSON", ANN, 400),
        (orjson.dumps({"model": "other", "messages": [{"role": "user", "content": ""}]}), ANN, 404),
    ],
    ids=["no key", "not valid", "no such model"],
)
async def test_what_asked_nothing_of_a_model_is_not_recorded(
    store: UsageStore, body: bytes, headers: dict[str, str], status: int
) -> None:
    async with gateway_with(whole, keys=KEYS, usage=store) as (served, _):
        assert (await served.post(body, headers=headers)).status == status
        assert (await served.post(chat_bytes().partition(b"\r\n\r\n")[2], headers=ANN)).status
    assert [row.model for row in store.rows()] == [MODEL]


async def test_database_that_is_broken_fails_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoker.usage_records.usage_writer._CLOSE_S", 0.05)
    (tmp_path / "usage.db").mkdir()
    broken = UsageStore(SqliteDatabase(tmp_path / "usage.db"))
    async with gateway_with(whole, usage=broken) as (served, _):
        for _ in range(5):
            assert (await served.chat()).status == 200
