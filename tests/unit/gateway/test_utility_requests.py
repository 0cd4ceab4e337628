"""Turns go before titles and progress messages, and no request waits for ever."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import virtual_clock
from tests.unit.gateway.backends import DONE, MODEL, STREAM, Call, chunk, event, front, running

from stoker.data.facts import load_table
from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, GatewayTimings, Served
from stoker.gateway.routing.backend_pool import Pool
from stoker.gateway.routing.backend_slots import BackendSlots
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.routing.priority import (
    QUIET_S,
    BackendLoad,
    Utility,
    utility_of,
    wait_s,
)
from stoker.gateway.routing.slot_queue import BusyError
from stoker.gateway.timings import DEFAULT_TIMINGS

MOST_WAIT_S = GatewayTimings().max_utility_wait_s
TITLE = Utility("a title")
TOOLS = [{"type": "function", "function": {"name": "look"}}]
PROGRESS = (
    "You are an expert in writing short, catchy, and encouraging progress messages for a coding "
    "assistant.\nThe messages are shown to users while they wait."
)


def chat(system: str | None, user: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": user}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages, **fields}


# What is one


def test_vs_codes_progress_messages_are_known() -> None:
    request = chat(PROGRESS, 'Please generate exactly 10 unique progress messages for "edit code".')
    assert utility_of(request) == Utility("VS Code: progress messages", QUIET_S)
    parts = [{"type": "text", "text": PROGRESS}]
    assert utility_of({"messages": [{"role": "system", "content": parts}]})


@pytest.mark.parametrize("row", load_table("utility_requests")["request"], ids=lambda r: r["what"])
def test_every_kind_is_known_by_its_markers_and_by_nothing_less(row: dict[str, Any]) -> None:
    assert row["client"]
    assert row["source"]
    assert all(len(marker) < 80 for marker in row["markers"]), "facts, not whole prompts"

    def asked(question: str, **fields: Any) -> dict[str, Any]:
        in_system = row["part"] == "system"
        return chat(question if in_system else None, "Hi" if in_system else question, **fields)

    question = f"{'x ' * 400}{' and '.join(row['markers'])}"
    found = utility_of(asked(question + " word" * 2000))
    assert found is not None
    assert found.quiet_s == (0 if row.get("awaited") else QUIET_S)
    assert utility_of(asked(question, tools=TOOLS)) is None
    assert utility_of(asked(question[:-2])) is None
    assert utility_of(asked("word " * 2000 + question + " word" * 2000)) is None


@pytest.mark.parametrize(
    "request_",
    [
        chat(None, "Hi"),
        chat("You are an AI programming assistant.", "Write a title for my page."),
        chat("You are a helper.", PROGRESS),
        {"messages": "?"},
        {"messages": [7, {"role": "system"}]},
        {"prompt": "def f("},
    ],
)
def test_what_a_person_asks_is_a_turn(request_: dict[str, Any]) -> None:
    assert utility_of(request_) is None


def test_the_header_decides() -> None:
    assert utility_of(chat(None, "Hi", tools=TOOLS), "Utility ") is not None
    assert utility_of(chat(PROGRESS, "Go"), "turn") is None


# When one may be sent


def load(
    slots: int | None, in_flight: int, *, waited: bool = False, quiet_s: float = 99
) -> BackendLoad:
    return BackendLoad(slots, in_flight, waited, quiet_s)


def test_a_server_without_a_bound_takes_one_at_once() -> None:
    assert wait_s(TITLE, load(None, 50, quiet_s=0), 0) == 0


def test_one_slot_is_left_for_the_next_turn_unless_there_is_but_one() -> None:
    assert wait_s(TITLE, load(1, 0), 99) == 0
    assert wait_s(TITLE, load(1, 1), 99) == math.inf
    assert wait_s(TITLE, load(2, 0), 99) == 0
    assert wait_s(TITLE, load(2, 1), 99) == math.inf
    assert wait_s(TITLE, load(8, 6), 99) == 0
    assert wait_s(TITLE, load(8, 7), 99) == math.inf
    assert wait_s(TITLE, load(8, 0, waited=True), 99) == math.inf


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_a_turn_that_follows_within_a_moment_goes_first(slots: int) -> None:
    assert wait_s(TITLE, load(slots, 0), 0) == QUIET_S
    assert wait_s(TITLE, load(slots, 0), 1) == QUIET_S - 1
    assert wait_s(TITLE, load(slots, 0, quiet_s=1), 99) == QUIET_S - 1
    assert wait_s(Utility("asked for by a person", 0), load(slots, 0, quiet_s=0), 0) == 0


# How they wait


def now() -> float:
    return asyncio.get_running_loop().time()


def pooled(slots: int | None = None, limit: int | None = None, port: int = 1) -> PooledBackend:
    model = ServedModel(MODEL, parallel=slots)
    return PooledBackend(Backend(f"http://127.0.0.1:{port}", "llama.cpp"), [model], limit)


@dataclass
class Desk:
    """The slots of some backends, and what happened at them."""

    backends: list[PooledBackend]
    timings: GatewayTimings = DEFAULT_TIMINGS
    began: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        pool = Pool()
        pool.replace(self.backends)
        self.slots = BackendSlots(pool, self.timings)

    async def turn(self, name: str, at: float, takes_s: float, client: str = "ann") -> None:
        await self._send(name, at, takes_s, client, None)

    async def title(self, name: str, at: float, takes_s: float, client: str = "ann") -> None:
        await self._send(name, at, takes_s, client, TITLE)

    async def _send(
        self, name: str, at: float, takes_s: float, client: str, utility: Utility | None
    ) -> None:
        await asyncio.sleep(at - now())
        slot = await self.slots.acquire(MODEL, client, {}, utility=utility)
        self.began.append((name, round(now(), 3)))
        try:
            await asyncio.sleep(takes_s)
        finally:
            self.slots.release(slot)


@pytest.mark.parametrize(("slots", "limit"), [(1, None), (2, None), (None, 1), (None, 2)])
def test_vs_codes_progress_messages_come_after_the_turn_that_they_are_for(
    slots: int | None, limit: int | None
) -> None:
    async def main() -> None:
        desk = Desk([pooled(slots, limit)])
        await asyncio.gather(
            desk.title("edit", 0.0, 5),
            desk.title("generate", 0.01, 5),
            desk.turn("first turn", 2.09, 20),
            desk.turn("second turn", 22.5, 10),
        )
        quiet_at = 32.5 + QUIET_S
        assert desk.began == [
            ("first turn", 2.09),
            ("second turn", 22.5),
            ("edit", quiet_at),
            ("generate", quiet_at + 5),
        ]

    virtual_clock.run(main())


def test_a_server_that_batches_takes_both_of_two_clients_at_once_and_one_of_each() -> None:
    async def main() -> None:
        desk = Desk([pooled()])
        await asyncio.gather(
            desk.title("ann 1", 0, 5),
            desk.title("ann 2", 0, 5),
            desk.title("bob 1", 0, 5, "bob"),
            desk.turn("turn", 0, 5),
        )
        assert sorted(desk.began) == [("ann 1", 0), ("ann 2", 5), ("bob 1", 0), ("turn", 0)]

    virtual_clock.run(main())


def test_a_title_waits_no_longer_than_its_time_where_turns_never_cease() -> None:
    async def main() -> None:
        desk = Desk([pooled(limit=1)])
        turns = [desk.turn(f"{n}", n * 10.0, 10.5, f"client {n % 3}") for n in range(12)]
        await asyncio.gather(desk.title("title", 1, 5), *turns)
        began = dict(desk.began)
        assert MOST_WAIT_S < began["title"] < MOST_WAIT_S + 3 * 10.5

    virtual_clock.run(main())


def test_the_backend_that_is_free_takes_it() -> None:
    async def main() -> None:
        busy, free = pooled(1), pooled(1, port=2)
        desk = Desk([busy, free])
        busy.in_flight = 1
        busy.turn_at = 0.0
        slot = await desk.slots.acquire(MODEL, "ann", {}, utility=TITLE)
        assert slot.backend is free
        assert now() == pytest.approx(QUIET_S, abs=0.01)

    virtual_clock.run(main())


def test_who_leaves_lets_the_next_one_in() -> None:
    async def main() -> None:
        desk = Desk([pooled(1)])
        leaving = [asyncio.create_task(desk.title(name, 0, 500)) for name in ("held", "began")]
        last = asyncio.create_task(desk.title("last", 0, 1))
        await asyncio.sleep(1)
        leaving[0].cancel()
        await asyncio.sleep(QUIET_S)
        assert [name for name, _ in desk.began] == ["began"]
        leaving[1].cancel()
        await last
        assert [name for name, _ in desk.began] == ["began", "last"]
        assert desk.slots.waiting == 0

    virtual_clock.run(main())


def test_a_long_queue_of_titles_refuses_titles_and_no_turn() -> None:
    async def main() -> None:
        desk = Desk([pooled(limit=1)], GatewayTimings(max_waiting=3))
        first = asyncio.create_task(desk.turn("first", 0, 50))
        titles = [asyncio.create_task(desk.title(f"{n}", 0, 1)) for n in range(3)]
        await asyncio.sleep(1)
        with pytest.raises(BusyError):
            await desk.title("one more", 1, 1)
        await desk.turn("turn", 1, 1, "bob")
        await asyncio.gather(first, *titles)
        assert [name for name, _ in desk.began][:2] == ["first", "turn"]

    virtual_clock.run(main())


@dataclass(frozen=True)
class Sent:
    """One request of a script."""

    at: float
    client: str
    utility: bool
    takes_s: float
    #: Its client leaves after this long.
    leaves_s: float | None


SENT = st.builds(
    Sent,
    at=st.floats(0, 60),
    client=st.sampled_from(["ann", "bob"]),
    utility=st.booleans(),
    takes_s=st.floats(0, 40),
    leaves_s=st.none() | st.floats(0, 80),
)
SLOTS = st.sampled_from([(None, None), (1, None), (2, None), (3, None), (None, 1), (None, 2)])


@dataclass
class Watched:
    """A pool that is watched: what waits and what is under way."""

    desk: Desk
    turns_waiting: int = 0
    utilities: dict[str, int] = field(default_factory=lambda: {"ann": 0, "bob": 0})
    #: When each request began; and for utility requests what was under way then, and may be.
    began: list[float] = field(default_factory=list)
    found: list[tuple[float, int, int]] = field(default_factory=list)

    async def send(self, sent: Sent) -> None:
        work = asyncio.create_task(self._ask(sent))
        await asyncio.wait({work}, timeout=sent.at + (sent.leaves_s or 1e6) - now())
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        if not work.cancelled() and work.exception():
            assert isinstance(work.exception(), BusyError), work.exception()

    def took_the_last_slot(self) -> bool:
        """Whether a utility request did; what began at the same instant may have come after it."""
        return any(
            in_flight - (self.began.count(at) - 1) > most for at, in_flight, most in self.found
        )

    async def _ask(self, sent: Sent) -> None:
        await asyncio.sleep(sent.at - now())
        arrived = now()
        self.turns_waiting += not sent.utility
        try:
            utility = TITLE if sent.utility else None
            slot = await self.desk.slots.acquire(MODEL, sent.client, {}, utility=utility)
        finally:
            self.turns_waiting -= not sent.utility
            assert now() - arrived <= GatewayTimings().max_wait_s + 0.1, "waited for ever"
        try:
            self.began.append(now())
            self.utilities[sent.client] += sent.utility
            self._check(sent, slot.backend, now() - arrived)
            await asyncio.sleep(sent.takes_s)
        finally:
            self.utilities[sent.client] -= sent.utility
            self.desk.slots.release(slot)

    def _check(self, sent: Sent, chosen: PooledBackend, waited_s: float) -> None:
        assert chosen.max_concurrent is None or chosen.in_flight <= chosen.max_concurrent
        if not sent.utility:
            return
        assert self.utilities[sent.client] == 1, "two of one client at a time"
        slots = chosen.slots(MODEL)
        if slots is not None and waited_s < MOST_WAIT_S - 0.01:
            assert self.turns_waiting == 0, "a turn waits"
            self.found.append((now(), chosen.in_flight, max(1, slots - 1)))
            assert waited_s >= QUIET_S - 0.01, "no time for a turn to follow"


@given(SLOTS, st.lists(SENT, max_size=12))
def test_whatever_comes_turns_go_first_and_everything_ends(
    slots: tuple[int | None, int | None], script: list[Sent]
) -> None:
    async def main() -> None:
        desk = Desk([pooled(*slots)])
        watched = Watched(desk)
        await asyncio.gather(*(watched.send(sent) for sent in script))
        assert not watched.took_the_last_slot()
        assert desk.slots.waiting == 0
        assert desk.backends[0].in_flight == 0
        assert not desk.slots._utilities._under_way
        late = await desk.slots.acquire(MODEL, "ann", {}, utility=TITLE)  # nothing is stuck
        desk.slots.release(late)

    virtual_clock.run(main())


# Through the gateway


async def test_a_turn_overtakes_the_titles_that_were_asked_for_before_it() -> None:
    seen: list[str] = []

    async def notes(call: Call) -> None:
        seen.append("turn" if call.body.get("tools") else "title")
        await call.send(STREAM, chunk(event("Hi")), chunk(DONE), b"0\r\n\r\n")

    async with running(notes) as (backend,):
        door = Gateway(timings=GatewayTimings(max_utility_wait_s=0.3))  # for the titles to come
        models = [ServedModel(MODEL, max_model_len=8192, tools="none", parallel=2)]
        door.serve([Served(Backend(backend.url, "openai"), models)])
        async with front(door) as served:
            ask = json.dumps({"model": MODEL, "stream": True, **chat(PROGRESS, "Go")}).encode()
            titles = [asyncio.create_task(served.post(ask)) for _ in range(2)]
            await asyncio.sleep(0.05)
            assert door.slots.waiting == 2
            # Its tools go into its text: it is a turn by what was asked, not by what is sent.
            await served.stream(tools=TOOLS, **chat(PROGRESS, "Look"))
            assert [(await title).status for title in titles] == [200, 200]
    assert len(seen) == 3


async def test_a_mark_is_passed_on_to_another_gateway_and_to_no_other_backend() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    body = json.dumps({"model": MODEL, **chat(None, "Hi")}).encode()
    for engine in ("stoker", "vllm"):
        door = Gateway()
        door.serve([Served(Backend(url, engine), [ServedModel(MODEL)])])
        async with front(door) as served:
            await served.post(body, headers={"x-stoker-priority": "utility"})
            await served.post(body)
    server.close()
    assert [b"x-stoker-priority: utility" in head for head in heads] == [True, False, False, False]
