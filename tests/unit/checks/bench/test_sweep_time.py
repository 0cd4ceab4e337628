"""How a sweep divides its time, on a virtual clock: servers of known speed, and no real waiting."""

from __future__ import annotations

import asyncio

from tests.support import virtual_clock

from stoker.checks.bench import BenchReport, BenchTarget, Settings, time_limit
from stoker.checks.bench.concurrency_sweep import sweep
from stoker.checks.bench.load_generator import HaltWatch, Send
from stoker.checks.bench.workloads import Request
from stoker.engines import Backend

TARGET = BenchTarget(Backend("http://virtual", "openai"), "coder", 8192)


def server(first_token_s: float) -> Send:
    """Answers any number of requests at once, each in ``first_token_s``, and reads in no time."""

    async def send(request: Request, watch: HaltWatch) -> None:
        await asyncio.sleep(first_token_s)
        for _ in range(request.body["max_tokens"]):
            watch.chunk()
        watch.usage = {
            "prompt_tokens": request.prompt_chars // 4,
            "completion_tokens": request.body["max_tokens"],
        }
        watch.end()

    return send


def measured(send: Send, settings: Settings) -> BenchReport:
    async def swept() -> BenchReport:
        halt = time_limit([TARGET], settings)
        *_, report = [event async for event in sweep([TARGET], [send], settings, halt)]
        assert isinstance(report, BenchReport)
        return report

    return virtual_clock.run(swept())


def test_when_the_time_is_up_no_rung_is_left_without_a_reason() -> None:
    settings = Settings(
        shapes=("chat", "completion"), cached=(False,), requests=3, prompt_tokens=100, seconds=2.5
    )
    report = measured(server(0.32), settings)
    assert [(r.shape, r.concurrency, r.summary.answered) for r in report.rungs] == [
        ("chat", 1, 3),
        ("completion", 1, 0),
    ]
    assert sum(report.rungs[1].summary.failures.values()) == 3
    assert any("the time was up" in note for note in report.notes)


def test_a_slow_server_is_measured_in_every_shape_before_more_at_once() -> None:
    settings = Settings(
        shapes=("chat", "completion"),
        cached=(False,),
        concurrency=(1, 2),
        requests=4,
        prompt_tokens=100,
        max_tokens=4,
        seconds=2.8,
    )
    report = measured(server(0.22), settings)
    chat, completion, *_ = report.rungs
    assert (chat.shape, chat.concurrency, chat.summary.answered) == ("chat", 1, 4)
    assert (completion.shape, completion.concurrency) == ("completion", 1)
    assert completion.summary.answered == 4
    assert any("Left out" in note and "chat cold above 1 at once" in note for note in report.notes)


def test_a_server_too_slow_for_four_requests_of_each_shape_gets_two() -> None:
    settings = Settings(
        cached=(False,), concurrency=(1,), prompt_tokens=100, max_tokens=4, seconds=4.2
    )
    report = measured(server(0.27), settings)
    assert {rung.summary.requests for rung in report.rungs} == {2}
    assert {rung.shape for rung in report.rungs} == {"chat", "agent", "completion"}


def test_time_that_is_up_is_not_reported_as_a_server_that_answers_nothing() -> None:
    quick, stuck = server(0.05), server(30.0)

    async def send(request: Request, watch: HaltWatch) -> None:
        probe = request.body["max_tokens"] <= 8
        await (quick if probe else stuck)(request, watch)

    settings = Settings(
        shapes=("chat",), cached=(False,), concurrency=(1,), requests=2, max_tokens=16, seconds=1
    )
    report = measured(send, settings)
    assert report.rungs[0].summary.answered == 0
    assert "chat cold: not measured, because the time was up (raise --seconds)." in report.notes
