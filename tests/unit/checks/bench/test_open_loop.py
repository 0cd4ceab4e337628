"""The load generator on a virtual clock: requests go out when due; waiting counts from there."""

from __future__ import annotations

import asyncio

import pytest
from tests.support import virtual_clock

from stoker.checks.bench import Timing
from stoker.checks.bench.load_generator import Halt, HaltWatch, Send, open_loop
from stoker.checks.bench.request_timing import CUT_OFF, NOT_SENT
from stoker.checks.bench.statistics import summarise
from stoker.checks.bench.workloads import Request

ASKED = Request("/v1/chat/completions", {})
PLENTY_S = 1000.0


def server(*, slots: int, read_s: float, token_s: float, tokens: int) -> Send:
    """A server of known speed that answers ``slots`` requests at once and lets the others wait."""
    free = asyncio.Semaphore(slots)

    async def send(_: Request, watch: HaltWatch) -> None:
        async with free:
            await asyncio.sleep(read_s)
            for number in range(tokens):
                if number:
                    await asyncio.sleep(token_s)
                watch.chunk()
            watch.end()

    return send


def timings(due: list[float], *, seconds: float = PLENTY_S, **speed: float) -> list[Timing]:
    async def main() -> list[Timing]:
        send = server(
            slots=int(speed["slots"]),
            read_s=speed["read_s"],
            token_s=speed.get("token_s", 0.0),
            tokens=int(speed.get("tokens", 1)),
        )
        return await open_loop(send, [ASKED] * len(due), due, Halt(seconds))

    return virtual_clock.run(main())


def test_requests_go_out_when_they_are_due_however_slow_the_answers_are() -> None:
    due = [0.0, 1.0, 1.5, 4.0]
    for slots in (1, 4):
        found = timings(due, slots=slots, read_s=60.0)
        assert [timing.sent_s for timing in found] == pytest.approx(due)


def test_times_are_those_of_the_server() -> None:
    found = timings([0.0, 10.0], slots=1, read_s=0.4, token_s=0.02, tokens=11)
    for timing in found:
        assert timing.first_token_s == pytest.approx(0.4)
        assert timing.token_s == pytest.approx(0.02)
        assert timing.longest_gap_s == pytest.approx(0.02)
        assert timing.total_s == pytest.approx(0.6)


def test_waiting_for_a_busy_server_counts() -> None:
    """One slot, a second an answer, two requests a second: each waits half a second longer."""
    due = [0.0, 0.5, 1.0, 1.5]
    found = timings(due, slots=1, read_s=1.0)
    assert [t.first_token_s for t in found] == pytest.approx([1.0, 1.5, 2.0, 2.5])
    summary = summarise([found], offered_per_s=2.0, alone_s=1.0)
    assert summary.keeps_up is False
    assert summary.in_flight == pytest.approx(7.0 / 4.0)
    assert summary.answered_per_s == pytest.approx(1.0)


def test_a_server_with_room_for_all_keeps_up() -> None:
    due = [index / 2 for index in range(20)]
    summary = summarise([timings(due, slots=8, read_s=1.0)], offered_per_s=2.0, alone_s=1.0)
    assert summary.keeps_up is True
    assert summary.first_token_s is not None
    assert summary.first_token_s.most == pytest.approx(1.0)


def test_a_generator_that_is_late_itself_hides_no_waiting() -> None:
    """What is due at 1 s and can only be sent at 5 s has waited 4 s before the server saw it."""

    async def send(_: Request, watch: HaltWatch) -> None:
        if watch.arrival_s == 0.0:
            virtual_clock.skip(5.0)
        await asyncio.sleep(0.5)
        watch.chunk()
        watch.end()

    async def main() -> list[Timing]:
        return await open_loop(send, [ASKED] * 2, [0.0, 1.0], Halt(PLENTY_S))

    found = virtual_clock.run(main())
    assert found[1].sent_s == pytest.approx(5.0)
    assert found[1].first_token_s == pytest.approx(4.5)
    assert summarise([found], offered_per_s=1.0, alone_s=0.5).sent_late_s == pytest.approx(4.0)


def test_time_that_is_up_is_reported_of_every_request_that_it_hit() -> None:
    found = timings([0.0, 1.0, 5.0], seconds=3.0, slots=3, read_s=2.5)
    assert [timing.failure for timing in found] == [None, CUT_OFF, NOT_SENT]
    summary = summarise([found], offered_per_s=1.0, alone_s=2.5)
    assert (summary.requests, summary.answered) == (3, 1)
    assert summary.failures == {CUT_OFF: 1, NOT_SENT: 1}
    assert summary.broken == {}
    assert summary.keeps_up is False


def test_the_user_may_stop_it_at_once() -> None:
    async def main() -> tuple[list[Timing], float]:
        halt = Halt(PLENTY_S)
        loop = asyncio.get_running_loop()
        loop.call_later(2.0, halt.stop)
        send = server(slots=9, read_s=1.0, token_s=0.0, tokens=1)
        found = await open_loop(send, [ASKED] * 3, [0.0, 1.5, 90.0], halt)
        assert halt.by_user
        assert halt.left_s == 0.0
        return found, loop.time()

    found, ended_s = virtual_clock.run(main())
    assert [timing.failure for timing in found] == [None, CUT_OFF, NOT_SENT]
    assert ended_s == pytest.approx(2.0)


def test_a_mistake_of_ours_is_not_taken_for_a_failure_of_the_server() -> None:
    async def send(_: Request, watch: HaltWatch) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        await open_loop(send, [ASKED], [0.0], Halt(PLENTY_S))

    with pytest.raises(ZeroDivisionError):
        virtual_clock.run(main())
