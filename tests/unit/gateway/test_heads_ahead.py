"""Heads are read while nobody waits, and nobody waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support import virtual_clock

from stoker.engines import Backend, PromptReader, ServedModel
from stoker.gateway import Gateway, Served
from stoker.gateway.heads_ahead import HeadsAhead, next_slice
from stoker.gateway.idle_time import IDLE_S
from stoker.gateway.prompt.engine_slots import slot_user
from stoker.gateway.prompt.last_heads import LastHeads
from stoker.gateway.prompt.prompt_chain import chain_of

MODEL = "m"
#: The engine below reads a token in 4 ms, so that no slice is longer than the first one.
TOKEN_S = 0.004
RULES_TOKENS = 1000
RULES = "rules " * RULES_TOKENS
#: More than it takes to read them.
ALL_S = 2 * TOKEN_S * RULES_TOKENS
ASKED = {"messages": [{"role": "system", "content": RULES}, {"role": "user", "content": "hi"}]}


class ScriptedReader:
    """An engine whose prompts have a token a word."""

    def __init__(self) -> None:
        self.slots: dict[int, int] = {}
        self.longest_s = 0.0
        self.is_reading = False
        self.fault: Exception | None = None

    async def tokens(
        self, http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]
    ) -> list[int]:
        text = " ".join(message["content"] for message in request["messages"])
        return [hash(word) for word in text.split()]

    async def read(
        self, http: aiohttp.ClientSession, backend: Backend, slot: int, prompt: Sequence[int]
    ) -> None:
        if self.fault:
            raise self.fault
        takes_s = TOKEN_S * max(1, len(prompt) - self.slots.get(slot, 0))
        self.is_reading = True
        await asyncio.sleep(takes_s)
        self.is_reading = False
        self.longest_s = max(self.longest_s, takes_s)
        self.slots[slot] = len(prompt)


class Deployment:
    """A gateway in front of a scripted engine, whose clients' heads are in a file."""

    def __init__(self, http: aiohttp.ClientSession, folder: Path) -> None:
        self.engine = ScriptedReader()
        self.gateway = Gateway()
        self.gateway._state.preparers.start(http)
        reader = PromptReader(self.engine.tokens, self.engine.read)
        self.ahead = HeadsAhead(self.gateway, http, reader, folder / "heads.json")
        served = [ServedModel(MODEL, tools="native", parallel=2)]
        backend = Backend("http://127.0.0.1:1", "llama.cpp", "a key of this start")
        self.gateway.serve([Served(backend, served, is_ours=True)])

    @property
    def preparer(self) -> Any:
        return self.gateway.preparers(self.gateway.pool.backends[0])[0]

    @property
    def read_tokens(self) -> int:
        return max(self.engine.slots.values(), default=0)

    async def answer(self) -> None:
        """A request comes, and ends a minute later."""
        place = await self.gateway.slots.acquire(MODEL, "client", {})
        await asyncio.sleep(60)
        self.gateway.slots.release(place)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    async def at_once(what: Callable[..., Any], *args: Any) -> Any:
        return what(*args)

    # A virtual clock does not wait for threads.
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    kept = LastHeads()
    kept.note(ASKED)
    kept.write(tmp_path / "heads.json")
    return tmp_path


@asynccontextmanager
async def deployed(folder: Path) -> AsyncIterator[Deployment]:
    async with aiohttp.ClientSession() as http:
        it = Deployment(http, folder)
        keeping = asyncio.create_task(it.ahead.keep())
        yield it
        assert not keeping.done(), "nothing that goes wrong ends it"
        keeping.cancel()


def test_a_kept_head_is_read_without_a_question_and_is_expected_in_its_slot(folder: Path) -> None:
    async def play() -> None:
        async with deployed(folder) as it:
            await asyncio.sleep(IDLE_S + ALL_S)
            (slot,) = it.engine.slots
            assert it.engine.slots[slot] == RULES_TOKENS
            chain = chain_of(ASKED)
            assert it.preparer.ledger.cached_tokens(chain) == RULES_TOKENS
            with it.preparer.slots.held(slot_user(ASKED, chain, is_utility=False)) as named:
                assert named == slot

    virtual_clock.run(play())


def test_no_slice_begins_once_a_request_has_come(folder: Path) -> None:
    async def play() -> None:
        async with deployed(folder) as it:
            await asyncio.sleep(IDLE_S + ALL_S / 4)
            answered = asyncio.create_task(it.answer())
            await asyncio.sleep(0)
            before = it.read_tokens
            await asyncio.sleep(50)
            assert 0 < before <= it.read_tokens <= before + 0.05 / TOKEN_S < RULES_TOKENS
            await answered
            await asyncio.sleep(IDLE_S + ALL_S)
            assert it.read_tokens == RULES_TOKENS  # in the next pause

    virtual_clock.run(play())


def test_a_request_that_is_on_its_way_when_a_slice_ends_waits_for_no_other(folder: Path) -> None:
    """From the socket to where it is counted takes some milliseconds."""

    async def play() -> None:
        async with deployed(folder) as it:
            await asyncio.sleep(IDLE_S + ALL_S / 4)
            while it.engine.is_reading:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            before = it.read_tokens
            await asyncio.sleep(0.002)
            place = await it.gateway.slots.acquire(MODEL, "client", {})
            await asyncio.sleep(50)
            assert 0 < before == it.read_tokens < RULES_TOKENS
            it.gateway.slots.release(place)

    virtual_clock.run(play())


def test_a_slice_takes_less_than_a_person_notices(folder: Path) -> None:
    async def play() -> None:
        async with deployed(folder) as it:
            await asyncio.sleep(IDLE_S + ALL_S)
            assert it.engine.longest_s < 0.05

    virtual_clock.run(play())


def test_a_head_that_was_restored_is_not_read(folder: Path) -> None:
    async def play() -> None:
        async with deployed(folder) as it:
            it.preparer.restored(chain_of(ASKED).head, RULES_TOKENS, RULES_TOKENS, 0)
            await asyncio.sleep(IDLE_S + ALL_S)
            assert not it.engine.slots

    virtual_clock.run(play())


def test_an_engine_that_fails_is_left_alone_until_the_next_pause(folder: Path) -> None:
    async def play() -> None:
        async with deployed(folder) as it:
            it.engine.fault = aiohttp.ClientError()
            await asyncio.sleep(100)
            it.engine.fault = None
            await asyncio.sleep(100)
            assert not it.engine.slots
            await it.answer()
            await asyncio.sleep(IDLE_S + ALL_S)
            assert it.read_tokens == RULES_TOKENS

    virtual_clock.run(play())


def test_a_head_that_no_template_takes_is_passed_over(folder: Path) -> None:
    kept = folder / "heads.json"
    odd = b'{"messages":[{"role":"system","content":[{"text":7}]}],"tools":[{"function":7}]}'
    kept.write_bytes(kept.read_bytes()[:-1] + b"," + odd + b"]")

    async def play() -> None:
        async with deployed(folder) as it:
            await asyncio.sleep(IDLE_S + ALL_S)
            assert it.read_tokens == RULES_TOKENS

    virtual_clock.run(play())


@pytest.mark.parametrize(
    ("size", "took_s", "least", "most"),
    [(8, 0.001, 16, 16), (64, 0.025, 64, 64), (64, 0.25, 6, 6), (8, 9.0, 2, 2)],
)
def test_slices_follow_the_speed_of_the_last_one(
    size: int, took_s: float, least: int, most: int
) -> None:
    assert least <= next_slice(size, took_s) <= most


def test_what_is_kept_is_readable_by_its_owner_only_and_damage_is_no_fault(folder: Path) -> None:
    kept = folder / "heads.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    heads = LastHeads()
    heads.read(kept)
    assert [head.messages for head in heads.newest_first] == [ASKED["messages"][:1]]
    kept.write_bytes(kept.read_bytes()[:-9])
    damaged = LastHeads()
    damaged.read(kept)
    damaged.read(folder / "none")
    kept.write_bytes(b'[{"messages":[{"content":' + b"[" * 9000 + b"]" * 9000 + b"}]}]")
    damaged.read(kept)
    assert damaged.newest_first == []


def test_of_each_client_the_last_head_is_kept_and_of_few_clients() -> None:
    heads = LastHeads()
    for client in range(9):
        heads.note({"messages": [{"role": "system", "content": f"client {client}"}]})
        tools = [{"type": "function", "function": {"name": f"of {client}"}}]
        messages = [{"role": "system", "content": f"client {client}"}]
        heads.note({"messages": messages, "tools": tools})
    kept = [head.tools[0]["function"]["name"] for head in heads.newest_first]
    assert kept == ["of 8", "of 7", "of 6", "of 5"]
