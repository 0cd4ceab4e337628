"""Two models behind one gateway: completions and chats keep out of each other's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import (
    DONE,
    STREAM,
    Call,
    Front,
    Scenario,
    answer,
    chunk,
    event,
    front,
    running,
)

from stoker.engines import Backend, ServedModel
from stoker.errors import Problem
from stoker.gateway import Gateway, GatewayTimings, Served
from stoker.gateway.prompt.engine_slots import EngineSlots, slot_user
from stoker.gateway.prompt.prompt_chain import chain_of
from stoker.gateway.routing.backend_pool import Pool
from stoker.gateway.routing.backend_slots import BackendSlots
from stoker.gateway.routing.first_tokens import FirstTokens
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.routing.priority import HEADER, is_completion, utility_of

CHATTER = ServedModel("chatter", max_model_len=8192)
CODER = ServedModel("coder", max_model_len=8192, fill_in_the_middle=True, takes_suffix=True)
ENDED = Problem("The engine ended.", "Something killed it.", "Wait.")
CHAT = "/v1/chat/completions"
HI = {"messages": [{"role": "user", "content": "Hi"}]}
INFILL = {"input_prefix": "def f(", "input_suffix": ")"}


# What is a completion


@pytest.mark.parametrize(
    ("path", "body", "header", "expected"),
    [
        ("/infill", INFILL, None, True),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, None, True),
        ("/v1/completions", {"prompt": "a"}, None, False),
        ("/v1/completions", {"prompt": "a"}, "completion", True),
        ("/v1/chat/completions", HI, " Completion ", True),
        ("/v1/chat/completions", HI, None, False),
        ("/infill", INFILL, "turn", False),
    ],
)
def test_the_header_decides_and_else_the_path(
    path: str, body: dict[str, Any], header: str | None, expected: bool
) -> None:
    assert is_completion(path, body, header) is expected


def test_one_that_its_client_marks_is_no_utility_request() -> None:
    assert utility_of(HI, "completion") is None


# Which model is meant


async def says_its_name(call: Call) -> None:
    reply = {
        "model": call.body.get("model"),
        "choices": [{"index": 0, "message": {"content": "."}}],
    }
    await call.send(answer(orjson.dumps({**reply, "content": "."})))


@dataclass
class Two:
    """A gateway in front of two engines."""

    door: Front
    gateway: Gateway
    chat_calls: list[Call]
    completion_calls: list[Call]
    chat: Backend
    completion: Backend

    async def chat_has_come(self) -> None:
        while not self.chat_calls:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def post(self, path: str, body: dict[str, Any]) -> int:
        async with self.door.http.post(f"{self.door.url}{path}", json=body) as response:
            await response.read()
            return response.status


@asynccontextmanager
async def two(
    chats: Scenario = says_its_name, *, yields: bool = False, chats_on_cpu: bool = True
) -> AsyncIterator[Two]:
    async with running(chats, says_its_name) as (chat, code):
        gateway = Gateway(timings=GatewayTimings(max_completion_hold_s=5.0))
        backends = Backend(chat.url, "openai"), Backend(code.url, "openai", "key")
        gateway.serve(
            [
                Served(backends[0], [CHATTER], computes_on_cpu=chats_on_cpu),
                Served(backends[1], [CODER], for_completion=True, yields=yields),
            ]
        )
        async with front(gateway) as door:
            yield Two(door, gateway, chat.calls, code.calls, *backends)


@pytest.mark.parametrize("name", [None, "", "default", "local"])
async def test_a_chat_that_names_no_model_means_the_one_that_chats(name: str | None) -> None:
    async with two() as it:
        assert await it.post("/v1/chat/completions", {**HI, "model": name}) == 200
        assert len(it.chat_calls) == 1 and not it.completion_calls


@pytest.mark.parametrize("name", [None, "", "default", "local"])
async def test_a_completion_that_names_no_model_means_the_one_for_it(name: str | None) -> None:
    async with two() as it:
        body = {"prompt": "def f(", "suffix": ")", "model": name}
        assert await it.post("/v1/completions", body) == 200
        assert not it.chat_calls
        assert it.completion_calls[-1].path in ("/infill", "/v1/completions")


async def test_each_may_be_named_for_the_other_purpose() -> None:
    async with two() as it:
        assert await it.post("/v1/chat/completions", {**HI, "model": "coder"}) == 200
        assert it.completion_calls and not it.chat_calls


async def test_a_name_that_is_not_served_is_refused_as_before() -> None:
    async with two() as it:
        assert await it.post("/v1/chat/completions", {**HI, "model": "gpt-9"}) == 404


async def test_the_list_has_both_the_one_that_chats_first_and_its_alias() -> None:
    async with two() as it:
        it.gateway.suspend(it.chat, ENDED)
        async with it.door.http.get(f"{it.door.url}/v1/models") as response:
            listed = (await response.json())["data"]
    assert [entry["id"] for entry in listed] == ["chatter", "coder", "local"]
    assert listed[-1]["root"] == "chatter"


# Neither fails with the other


async def test_a_dead_chat_engine_does_not_take_completion_down_nor_is_replaced_by_it() -> None:
    async with two() as it:
        it.gateway.suspend(it.chat, ENDED)
        assert await it.post("/v1/chat/completions", HI) == 503
        assert await it.post("/v1/completions", {"prompt": "a", "suffix": "b"}) == 200
        async with it.door.http.get(f"{it.door.url}/ready") as response:
            assert response.status == 503
        it.gateway.resume(it.chat)
        assert await it.post("/v1/chat/completions", HI) == 200


async def test_a_dead_completion_engine_does_not_take_the_chat_down_nor_is_replaced_by_it() -> None:
    async with two() as it:
        it.gateway.suspend(it.completion, ENDED)
        assert await it.post("/v1/completions", {"prompt": "a", "suffix": "b"}) == 503
        assert await it.post("/v1/chat/completions", HI) == 200
        assert all(call.path != "/v1/completions" for call in it.chat_calls)


async def test_what_orders_them_in_the_engine_is_sent_with_completions_alone() -> None:
    async with running(says_its_name) as (backend,):
        gateway = Gateway()
        both = Served(Backend(backend.url, "openai"), [CODER], completion_fields={"priority": -1})
        gateway.serve([both])
        async with front(gateway) as door:
            for path, body in (("/v1/completions", {"prompt": "a", "suffix": "b"}), (CHAT, HI)):
                await (await door.http.post(f"{door.url}{path}", json=body)).read()
    assert [call.body.get("priority") for call in backend.calls] == [-1, None]


# A turn's first token goes first


async def test_a_completion_waits_for_the_first_token_of_a_turn_and_not_for_its_end() -> None:
    first, last = asyncio.Event(), asyncio.Event()

    async def slowly(call: Call) -> None:
        await call.send(STREAM)
        await first.wait()
        await call.send(chunk(event("a")))
        await last.wait()
        await call.send(chunk(event("b") + DONE), b"0\r\n\r\n")

    async with two(slowly, yields=True) as it:
        chat = asyncio.create_task(it.post("/v1/chat/completions", {**HI, "stream": True}))
        await it.chat_has_come()
        code = asyncio.create_task(it.post("/v1/completions", {"prompt": "a", "suffix": "b"}))
        done, _ = await asyncio.wait({code}, timeout=0.2)
        assert not done and not it.completion_calls
        first.set()
        assert await asyncio.wait_for(code, 5) == 200
        assert not chat.done()
        last.set()
        assert await asyncio.wait_for(chat, 5) == 200


async def test_a_listener_is_called_when_turns_begin_to_wait_and_when_none_does() -> None:
    reported: list[bool] = []
    tokens = FirstTokens(max_hold_s=30)
    tokens.watch = reported.append
    one, other = tokens.begin(), tokens.begin()
    one.over()
    assert reported == [True]
    other.over()
    assert reported == [True, False]


async def test_after_the_longest_hold_nothing_is_held_until_turns_begin_to_wait_again() -> None:
    reported: list[bool] = []
    tokens = FirstTokens(max_hold_s=0.02)
    tokens.watch = reported.append
    long = tokens.begin()
    await asyncio.wait_for(tokens.none_pending(), 1)
    assert reported == [True, False]
    await asyncio.wait_for(tokens.none_pending(), 0.01)
    long.over()
    assert reported == [True, False]
    tokens.begin()
    assert reported == [True, False, True]


@pytest.mark.parametrize(
    ("yields", "chats_on_cpu"), [(False, True), (True, False)], ids=["it on a GPU", "chats on one"]
)
async def test_where_it_slows_nothing_down_it_does_not_wait(
    yields: bool, chats_on_cpu: bool
) -> None:
    never = asyncio.Event()

    async def hangs(call: Call) -> None:
        await call.send(STREAM)
        await never.wait()

    async with two(hangs, yields=yields, chats_on_cpu=chats_on_cpu) as it:
        chat = asyncio.create_task(it.post("/v1/chat/completions", {**HI, "stream": True}))
        await it.chat_has_come()
        code = it.post("/v1/completions", {"prompt": "a", "suffix": "b"})
        assert await asyncio.wait_for(code, 5) == 200
        chat.cancel()
        never.set()


async def test_what_the_completion_engine_itself_is_asked_for_does_not_pause_it() -> None:
    reported: list[bool] = []
    async with two(yields=True) as it:
        it.gateway.on_first_tokens(reported.append)
        assert await it.post(CHAT, {**HI, "model": "coder"}) == 200
        assert await it.post("/v1/completions", {"model": "coder", "prompt": "a"}) == 200
        assert len(it.completion_calls) == 2 and not reported
        assert await it.post(CHAT, HI) == 200
        assert reported == [True, False]


async def test_it_waits_for_all_first_tokens_and_for_none_longer_than_it_may() -> None:
    tokens = FirstTokens(max_hold_s=0.05)
    one, other = tokens.begin(), tokens.begin()
    one.over()
    one.over()
    assert tokens.pending == 1
    began = asyncio.get_running_loop().time()
    await tokens.none_pending()
    assert asyncio.get_running_loop().time() - began >= 0.04
    other.over()
    await asyncio.wait_for(tokens.none_pending(), 1)
    assert tokens.pending == 0


# Slots of one engine


def ask(slots: EngineSlots, held: ExitStack, *, completes: bool) -> int | None:
    body: dict[str, Any] = INFILL if completes else HI
    user = slot_user(body, chain_of(body), is_utility=False, is_completion=completes)
    return held.enter_context(slots.held(user))


def test_the_slot_that_is_kept_is_the_first_and_always_named() -> None:
    with ExitStack() as held:
        assert ask(EngineSlots(3, 1), held, completes=True) == 0


def test_turns_leave_the_kept_slot_free_however_many_there_are() -> None:
    slots = EngineSlots(3, 1)
    for _ in range(4):
        with ExitStack() as held:
            ask(slots, held, completes=False)
            assert ask(slots, held, completes=False) != 0
            assert ask(slots, held, completes=False) is None
            assert ask(slots, held, completes=True) == 0


def test_a_turn_that_waits_does_not_take_the_kept_slot_when_it_is_given_back() -> None:
    slots = EngineSlots(2, 1)
    with ExitStack() as turn, ExitStack() as waiting:
        ask(slots, turn, completes=False)
        with ExitStack() as code:
            assert ask(slots, code, completes=True) == 0
            assert ask(slots, waiting, completes=False) is None
        with ExitStack() as code:
            assert ask(slots, code, completes=True) == 0


def shared(parallel: int, kept: int) -> PooledBackend:
    model = ServedModel("coder", parallel=parallel)
    backend = PooledBackend(Backend("http://127.0.0.1:1", "llama.cpp"), [model])
    backend.completion_slots = kept
    return backend


async def test_turns_wait_at_the_gateway_and_completions_find_their_slot() -> None:
    backend, pool = shared(3, 1), Pool()
    pool.replace([backend])
    slots = BackendSlots(pool)
    turns = [await slots.acquire("coder", "ann", HI) for _ in range(2)]
    third = asyncio.create_task(slots.acquire("coder", "ann", HI))
    await asyncio.sleep(0)
    code = await asyncio.wait_for(slots.acquire("coder", "ann", INFILL, is_completion=True), 1)
    assert not third.done()
    slots.release(code)
    await asyncio.sleep(0)
    assert not third.done()
    slots.release(turns[0])
    await asyncio.wait_for(third, 1)
    assert (backend.in_flight, backend.completions) == (2, 0)


async def test_a_second_completion_goes_before_a_turn_that_has_no_slot_to_take() -> None:
    backend, pool = shared(2, 1), Pool()
    pool.replace([backend])
    slots = BackendSlots(pool)
    await slots.acquire("coder", "ann", HI)
    code = await slots.acquire("coder", "ann", INFILL, is_completion=True)
    turn = asyncio.create_task(slots.acquire("coder", "ann", HI))
    await asyncio.sleep(0)
    second = asyncio.create_task(slots.acquire("coder", "ann", INFILL, is_completion=True))
    await asyncio.sleep(0)
    slots.release(code)
    await asyncio.wait_for(second, 1)
    assert not turn.done()
    turn.cancel()


async def test_a_completion_is_no_turn_that_titles_wait_for() -> None:
    backend, pool = shared(3, 1), Pool()
    pool.replace([backend])
    slots = BackendSlots(pool)
    before = backend.turn_at
    slots.release(await slots.acquire("coder", "ann", INFILL, is_completion=True))
    assert backend.turn_at == before


def test_the_header_is_the_one_that_utility_requests_have() -> None:
    assert HEADER == "x-stoker-priority"
