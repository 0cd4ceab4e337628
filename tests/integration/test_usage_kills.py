"""Usage of real gateway processes that are ended and killed: rows equal answered requests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import pytest
from tests.support import postgres_server
from tests.unit.gateway.backends import DONE, MODEL, Call, answer, event, running, usage

from stoker.usage_records import UsageStore
from stoker.usage_records.postgres_database import PostgresDatabase
from stoker.usage_records.sqlite_database import SqliteDatabase

pytestmark = pytest.mark.databases

ROUNDS = 2
#: What a killed gateway may lose, in seconds, and what a busy machine may add to it.
LOST_S, BUSY_S = 1.0, 2.0


async def answers(call: Call) -> None:
    """Whole answers to whole requests, streams to streams: of 7 and 3 tokens."""
    if call.body.get("stream"):
        await call.stream(event("hi"), usage(), DONE)
        return
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}}
    used = {"prompt_tokens": 7, "completion_tokens": 3}
    await call.send(answer(orjson.dumps({"choices": [choice], "usage": used})))


@dataclass
class Running:
    process: asyncio.subprocess.Process
    url: str

    async def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        await asyncio.wait_for(self.process.wait(), 20)


def configured(home: Path, backend: str, where: str) -> Path:
    home.mkdir(exist_ok=True)
    lines = ("[gateway]", "port = 0", f'usage = "{where}"', "[[backend]]", f'url = "{backend}"')
    config = home / "gateway.toml"
    config.write_text("\n".join((*lines, 'engine = "openai"')), encoding="utf-8")
    return config


@asynccontextmanager
async def gateway(home: Path, backend: str, where: str) -> AsyncIterator[Running]:
    """``stoker gateway`` in a process of its own."""
    config = configured(home, backend, where)
    with (home / "stderr").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stoker", "gateway", str(config), "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "STOKER_HOME": str(home)},
        )
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        yield Running(process, ready["endpoint"])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ask(http: aiohttp.ClientSession, url: str, number: int) -> bool:
    """One chat, every other one streamed; whether it was answered whole."""
    body = {"model": MODEL, "stream": number % 2 == 0}
    body |= {"messages": [{"role": "user", "content": str(number)}]}
    try:
        async with http.post(url + "/v1/chat/completions", json=body) as response:
            text = await response.read()
    except aiohttp.ClientError:
        return False
    assert response.status == 200, text
    return True


async def ask_many(http: aiohttp.ClientSession, url: str, count: int) -> int:
    return sum(await asyncio.gather(*(ask(http, url, number) for number in range(count))))


def recorded(store: UsageStore) -> list[int]:
    """The tokens of each row that is complete."""
    rows = [row for row in store.rows() if row.status == 200]
    return [(row.prompt_tokens or 0) + (row.completion_tokens or 0) for row in rows]


async def test_gateway_that_is_ended_has_recorded_every_answer(tmp_path: Path) -> None:
    store, answered = UsageStore(SqliteDatabase(tmp_path / "home/state/usage.db")), 0
    async with running(answers) as (backend,), aiohttp.ClientSession() as http:
        for _ in range(ROUNDS):
            async with gateway(tmp_path / "home", backend.url, "sqlite") as served:
                answered += await ask_many(http, served.url, 60)
                await served.end(signal.SIGTERM)
                assert served.process.returncode == 0
            assert recorded(store) == [10] * answered
    assert answered == 60 * ROUNDS


async def test_gateway_that_is_killed_has_lost_at_most_the_last_second(tmp_path: Path) -> None:
    store, before = UsageStore(SqliteDatabase(tmp_path / "home/state/usage.db")), 0
    async with running(answers) as (backend,), aiohttp.ClientSession() as http:
        for _ in range(ROUNDS):
            async with gateway(tmp_path / "home", backend.url, "sqlite") as served:
                at, asked = await ask_until_killed(http, served)
            now = len(recorded(store)) - before
            safe = sum(moment < at[-1] - LOST_S - BUSY_S for moment in at)
            assert safe > 5
            assert safe <= now <= asked
            before += now


async def ask_until_killed(http: aiohttp.ClientSession, served: Running) -> tuple[list[float], int]:
    """When each request was answered, the last moment being the kill's, and how many were asked."""
    at: list[float] = []
    asked, ends_at = 0, time.monotonic() + 5
    while time.monotonic() < ends_at:
        asked += 1
        assert await ask(http, served.url, asked)
        at.append(time.monotonic())
    last = asyncio.create_task(ask_many(http, served.url, 20))
    await asyncio.sleep(0)
    await served.end(signal.SIGKILL)
    at.append(time.monotonic())
    await last
    return at, asked + 20


async def test_two_gateways_record_every_answer_although_their_database_is_killed(
    tmp_path: Path,
) -> None:
    with postgres_server.running() as server:
        async with (
            running(answers) as (backend,),
            aiohttp.ClientSession() as http,
            gateway(tmp_path / "a", backend.url, server.url) as one,
            gateway(tmp_path / "b", backend.url, server.url) as other,
        ):
            answered = 0
            for _ in range(ROUNDS):
                both = asyncio.gather(*(ask_many(http, each.url, 40) for each in (one, other)))
                await asyncio.to_thread(server.stop)
                answered += sum(await both)
                answered += await ask_many(http, one.url, 10)  # while it is away
                await asyncio.to_thread(server.start)
            await asyncio.gather(*(each.end(signal.SIGTERM) for each in (one, other)))
        assert answered == ROUNDS * 90
        store = UsageStore(PostgresDatabase(server.url))
        assert await asyncio.to_thread(recorded, store) == [10] * answered
