"""What an engine has read is saved while nobody waits, and restored before anybody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support import virtual_clock

from stoker.engines import Backend, SavedSlot, ServedModel, SlotFiles
from stoker.gateway import Gateway, Served
from stoker.gateway.idle_time import IDLE_S
from stoker.gateway.prompt.prompt_chain import PromptChain, chain_of
from stoker.gateway.prompt.saved_prompts import SavedPrompts
from stoker.gateway.saved_heads import SavedHeads

MODEL = "m"
#: 1,000 tokens of 20 KB each are saved in 20 ms by the engine below.
TOKENS, TOKEN_BYTES, BYTES_PER_S = 1000, 20_000, 1e9


def prompt(system: str = "rules", question: str = "hello") -> PromptChain:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return chain_of({"messages": messages})


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class ScriptedSlots:
    """An engine with slot files: while it saves it does nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slots = {0: 0, 1: 0}
        self.works = asyncio.Lock()
        self.calls: list[str] = []
        #: What goes wrong when it writes or reads a file.
        self.fault: Callable[[Path], None] = lambda _path: None

    @property
    def files(self) -> SlotFiles:
        return SlotFiles(lambda _plan: "key", self.held, self.save, self.restore)

    async def held(self, http: aiohttp.ClientSession, backend: Backend) -> Mapping[int, int]:
        self.calls.append("held")
        return self.slots

    async def save(
        self, http: aiohttp.ClientSession, backend: Backend, slot: int, name: str
    ) -> SavedSlot:
        self.calls.append(f"save {slot}")
        async with self.works:
            tokens = self.slots[slot]
            seconds = tokens * TOKEN_BYTES / BYTES_PER_S
            await asyncio.sleep(seconds)
            (self.folder / name).write_text(f"{tokens} tokens")
            self.fault(self.folder / name)
            return SavedSlot(tokens, tokens * TOKEN_BYTES, seconds)

    async def restore(
        self, http: aiohttp.ClientSession, backend: Backend, slot: int, name: str
    ) -> int:
        self.calls.append(f"restore {slot}")
        self.fault(self.folder / name)
        self.slots[slot] = int((self.folder / name).read_text().split()[0])
        return self.slots[slot]


class Deployment:
    """A gateway in front of a scripted engine, from a start to its end."""

    def __init__(self, http: aiohttp.ClientSession, folder: Path) -> None:
        self.saved = SavedPrompts(folder)
        self.saved.open()
        self.engine = ScriptedSlots(folder)
        self.gateway = Gateway()
        self.gateway._state.preparers.start(http)
        self.heads = SavedHeads(self.gateway, http, self.engine.files, self.saved, TOKEN_BYTES)
        self.backend = Backend("http://127.0.0.1:1", "llama.cpp", "a key of this start")

    async def open(self) -> None:
        """The engine is ready: as the server does it."""
        restored = await self.heads.restore(self.backend)
        models = [ServedModel(MODEL, max_model_len=8192, tools="native", parallel=2)]
        self.gateway.serve([Served(self.backend, models)])
        if restored:
            self.heads.note_restored(restored)

    @property
    def ledger(self) -> Any:
        return self.gateway.preparers(self.gateway.pool.backends[0])[0].ledger

    async def answer(self, chain: PromptChain, tokens: int = TOKENS, slot: int = 0) -> None:
        """A request is answered."""
        place = await self.gateway.slots.acquire(MODEL, "client", {})
        async with self.engine.works:
            self.engine.slots[slot] = tokens
        self.ledger.note(chain, tokens - 7, None, 8)
        self.gateway.slots.release(place)

    def saves(self) -> int:
        return sum(call.startswith("save") for call in self.engine.calls)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    async def at_once(what: Callable[..., Any], *args: Any) -> Any:
        return what(*args)

    # A virtual clock does not wait for threads.
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    return tmp_path / "prompts" / "key"


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Deployment]:
    async with aiohttp.ClientSession() as http:
        deployment = Deployment(http, folder)
        await deployment.open()
        keeping = asyncio.create_task(deployment.heads.keep())
        yield deployment
        assert not keeping.done(), "nothing that goes wrong ends it"
        keeping.cancel()


def test_a_prompt_is_saved_when_the_engine_has_been_idle(folder: Path) -> None:
    async def play() -> None:
        async with started(folder) as it:
            await it.answer(prompt())
            await asyncio.sleep(IDLE_S - 1.5)
            assert it.engine.calls == []  # it is not even asked
            await asyncio.sleep(3)
            assert it.engine.calls == ["held", "save 0"]
            await asyncio.sleep(600)
            assert it.saves() == 1

    virtual_clock.run(play())


def test_the_next_start_restores_it_and_knows_what_is_in_the_cache(folder: Path) -> None:
    async def play() -> None:
        rules = "rules " * 500
        async with started(folder) as it:
            await it.answer(prompt(rules))
            await asyncio.sleep(10)
        async with started(folder) as it:
            assert it.engine.calls == ["restore 0"]
            other = prompt(rules, "another question")
            assert it.ledger.cached_tokens(other) > 0.9 * TOKENS
            assert b'restored_total{model="m"} 993.0' in it.gateway._state.metrics.text()
            noted = it.ledger.note(other, TOKENS, 950)
            assert (noted.read_tokens, noted.cached_tokens, noted.wasted_tokens) == (50, 950, 0)

    virtual_clock.run(play())


def test_another_conversation_with_the_same_head_is_saved_only_at_the_end(folder: Path) -> None:
    async def play() -> None:
        async with started(folder) as it:
            await it.answer(prompt(question="one"))
            await asyncio.sleep(10)
            await it.answer(prompt(question="two"), TOKENS + 100)
            await asyncio.sleep(10)
            assert it.saves() == 1
            await it.heads.save_last()
            await it.heads.save_last()  # there is nothing new
            assert it.saves() == 2
        newest = SavedPrompts(folder)
        newest.open()
        assert newest.newest is not None and newest.newest.held_tokens == TOKENS + 100

    virtual_clock.run(play())


def test_a_utility_request_and_a_short_prompt_are_not_saved(folder: Path) -> None:
    async def play() -> None:
        async with started(folder) as it:
            await it.answer(prompt(), tokens=200)
            it.ledger.note(prompt("titles"), TOKENS, None, 0)
            await asyncio.sleep(60)
            await it.heads.save_last()
            assert it.engine.calls == []

    virtual_clock.run(play())


@pytest.mark.parametrize("at_s", [0.0, 0.5, 4.9, 5.0, 5.001, 5.01, 5.02, 5.5, 6.0, 6.005, 7.0])
@pytest.mark.parametrize("tokens", [TOKENS, 2400, 2600, 8000])
def test_no_request_waits_longer_than_50_ms_for_a_save(
    folder: Path, at_s: float, tokens: int
) -> None:
    """2,600 tokens would take 52 ms: they are left to the end."""

    async def play() -> None:
        loop = asyncio.get_running_loop()
        async with started(folder) as it:
            await it.answer(prompt(), tokens)
            await asyncio.sleep(at_s)
            began = loop.time()
            await it.answer(prompt(question="next"), tokens)
            assert loop.time() - began <= 0.05
            await asyncio.sleep(60)
            assert it.saves() == (tokens * TOKEN_BYTES / BYTES_PER_S <= 0.05)
            await it.heads.save_last()
            assert it.saves() >= 1

    virtual_clock.run(play())


def test_nothing_is_saved_while_requests_come_and_go_or_wait(folder: Path) -> None:
    async def play() -> None:
        async with started(folder) as it:
            for turn in range(30):
                await it.answer(prompt(question=str(turn)))
                await asyncio.sleep(3)
            place = await it.gateway.slots.acquire(MODEL, "client", {})
            await asyncio.sleep(60)
            assert it.engine.calls == []
            it.gateway.slots.release(place)
            await asyncio.sleep(10)
            assert it.saves() == 1

    virtual_clock.run(play())


def test_a_slot_that_another_request_took_is_not_saved_under_its_name(folder: Path) -> None:
    async def play() -> None:
        async with started(folder) as it:
            await it.answer(prompt())

            def taken(_path: Path) -> None:
                raise AssertionError("it was saved")

            it.engine.fault = taken
            it.engine.slots[0] = 77
            await asyncio.sleep(60)
            assert it.saves() == 0

    virtual_clock.run(play())


def full(path: Path) -> None:
    """The disk is full: a part was written."""
    path.write_text("9")
    raise aiohttp.ClientPayloadError("500")


def gone(_path: Path) -> None:
    """The engine is gone."""
    raise aiohttp.ServerDisconnectedError


def in_another_form(_path: Path) -> None:
    """The engine answers a list where there is an object."""
    raise AttributeError("'list' object has no attribute 'get'")


@pytest.mark.parametrize("fault", [full, gone, in_another_form])
def test_a_save_that_fails_leaves_no_file_and_the_next_prompt_is_saved(
    folder: Path, fault: Callable[[Path], None]
) -> None:
    async def play() -> None:
        async with started(folder) as it:
            it.engine.fault = fault
            await it.answer(prompt())
            await asyncio.sleep(60)
            assert it.saves() == 1  # it is not tried again and again
            assert files_in(folder) == ["manifest.json"]
            await it.heads.save_last()
            it.engine.fault = lambda _path: None
            await it.answer(prompt("other rules"))
            await asyncio.sleep(10)
            assert it.saved.newest is not None

    virtual_clock.run(play())


@pytest.mark.parametrize("fault", [gone, full])
def test_a_restore_that_ends_the_engine_is_not_tried_at_the_next_start(
    folder: Path, fault: Callable[[Path], None]
) -> None:
    async def play() -> None:
        async with started(folder) as it:
            await it.answer(prompt())
            await asyncio.sleep(10)
        async with aiohttp.ClientSession() as http:
            second = Deployment(http, folder)
            second.engine.fault = fault
            await second.open()  # it serves all the same
            assert second.ledger.cached_tokens(prompt()) == 0
            assert second.saved.newest is None
        async with started(folder) as it:
            assert it.engine.calls == []

    virtual_clock.run(play())


def test_a_file_that_holds_something_else_is_given_up(folder: Path) -> None:
    async def play() -> None:
        async with started(folder) as it:
            await it.answer(prompt())
            await asyncio.sleep(10)
        async with aiohttp.ClientSession() as http:
            second = Deployment(http, folder)
            second.engine.fault = lambda path: void(path.write_text("12 tokens"))
            await second.open()
            assert second.ledger.cached_tokens(prompt()) == 0
        assert files_in(folder) == ["manifest.json"]

    virtual_clock.run(play())


def void(_: object) -> None:
    """Nothing."""


def test_an_engine_that_was_only_silent_keeps_what_it_has(folder: Path) -> None:
    async def play() -> None:
        async with started(folder) as it:
            await it.answer(prompt())
            await asyncio.sleep(10)
        async with started(folder) as it:
            await it.open()
            assert it.engine.calls == ["restore 0"]

    virtual_clock.run(play())


def test_a_last_save_that_hangs_is_given_up(folder: Path) -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        async with started(folder) as it:
            await it.answer(prompt())
            began = loop.time()
            async with it.engine.works:
                await it.heads.save_last()
            assert loop.time() - began < 4
            assert files_in(folder) == ["manifest.json"]

    virtual_clock.run(play())
