"""The whole benchmark against scripted servers, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.unit.gateway.backends import (
    DONE,
    MODEL,
    Call,
    Scenario,
    answer,
    event,
    running,
    usage,
)

from stoker.checks.bench import BenchReport, BenchTarget, Halt, Settings, bench, time_limit
from stoker.engines import Backend
from stoker.errors import StokerError

QUICK = Settings(
    shapes=("chat",), cached=(False,), concurrency=(1, 2), requests=4, prompt_tokens=100, seconds=30
)
ABOUT_S = 0.02


def finish(reason: str = "length") -> bytes:
    return event(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])


async def writes(call: Call) -> None:
    """Answers after 20 ms, with as many tokens as were asked for, and counts 4 characters each."""
    await asyncio.sleep(ABOUT_S)
    tokens = call.body["max_tokens"]
    prompt = len(str(call.body.get("messages", call.body.get("prompt")))) // 4
    await call.stream(*[event("x")] * tokens, finish(), usage(prompt, tokens), DONE)


async def report_on(
    *endpoints: BenchTarget, settings: Settings, after_rung: Callable[[Halt], None] = lambda _: None
) -> BenchReport:
    halt = time_limit(endpoints, settings)
    async for measured_now in bench(endpoints, settings, halt):
        if isinstance(measured_now, BenchReport):
            report = measured_now
        else:
            after_rung(halt)
    return report


async def measure(urls: Sequence[str], settings: Settings) -> BenchReport:
    endpoints = [BenchTarget(Backend(url, "openai"), MODEL, 8192) for url in urls]
    return await report_on(*endpoints, settings=settings)


async def measured(scenario: Scenario, settings: Settings = QUICK) -> BenchReport:
    async with running(scenario) as [backend]:
        return await measure([backend.url], settings)


async def test_every_rung_of_every_shape_is_measured_cold_and_cached() -> None:
    settings = Settings(requests=3, prompt_tokens=200, seconds=60, max_tokens=4)
    report = await measured(writes, settings)
    assert [(r.shape, r.cached, r.concurrency) for r in report.rungs] == [
        (shape, cached, load)
        for shape in ("chat", "agent", "completion")
        for cached in (False, True)
        for load in (1, 2, 4)
    ]
    for rung in report.rungs:
        assert (rung.summary.answered, rung.summary.requests) == (3, 3)
        assert rung.summary.answer_tokens == 4
        assert rung.summary.first_token_s is not None
        assert rung.summary.first_token_s.least >= ABOUT_S * 0.9
    assert not report.interrupted


async def test_the_first_rung_is_one_at_a_time_and_sets_the_pace_of_the_others() -> None:
    under_way = most = 0

    async def scenario(call: Call) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            await writes(call)
        finally:
            under_way -= 1

    seen: list[int] = []
    async with running(scenario) as [backend]:
        endpoint = BenchTarget(Backend(backend.url, "openai"), MODEL, 8192)
        report = await report_on(endpoint, settings=QUICK, after_rung=lambda _: seen.append(most))
    assert seen[0] == 1
    alone, double = report.rungs
    assert alone.offered_per_s is None
    assert alone.summary.total_s is not None
    assert double.offered_per_s == pytest.approx(2 / alone.summary.total_s.p50)


async def test_a_given_rate_takes_the_place_of_the_ladder() -> None:
    settings = Settings(
        shapes=("chat",), cached=(False,), rate_per_s=50.0, requests=5, prompt_tokens=100
    )
    report = await measured(writes, settings)
    assert [rung.offered_per_s for rung in report.rungs] == [None, 50.0]
    assert max(t.arrival_s for t in report.rungs[1].timings) <= 5 / 50.0


async def test_cold_prompts_begin_differently_and_cached_ones_were_sent_before() -> None:
    beginnings: list[str] = []

    async def scenario(call: Call) -> None:
        beginnings.append(call.body["messages"][0]["content"][:40])
        await writes(call)

    await measured(scenario)
    assert len(set(beginnings)) == len(beginnings)
    beginnings.clear()
    settings = Settings(
        shapes=("chat",), cached=(True,), concurrency=(1,), requests=4, prompt_tokens=100
    )
    report = await measured(scenario, settings)
    probes, warm, *rest = beginnings[:2], *beginnings[2:]
    assert len(probes) == 2
    assert rest == [warm] * 4
    assert report.rungs[0].summary.requests == 4  # what warms the cache is not measured


async def test_two_endpoints_take_turns_and_get_the_same_text() -> None:
    order: list[str] = []
    texts: dict[str, list[Any]] = {"a": [], "b": []}

    def scenario(name: str) -> Scenario:
        async def play(call: Call) -> None:
            order.append(name)
            texts[name].append(call.body["messages"][1])
            await writes(call)

        return play

    async with running(scenario("a"), scenario("b")) as backends:
        report = await measure([backend.url for backend in backends], QUICK)
    assert "".join(order[4:12]) == "abbaabba"  # the first four look around
    assert sorted(order[12:14]) == ["a", "a"]
    assert "".join(order[12:]) == "aabbbbaa"
    assert texts["a"][2:] == texts["b"][2:]
    assert [(r.endpoint, r.summary.answered) for r in report.rungs] == [(0, 4), (1, 4)] * 2
    first, second = report.rungs[2:]
    assert first.offered_per_s == second.offered_per_s
    assert [t.arrival_s for t in first.timings] == [t.arrival_s for t in second.timings]


async def test_a_server_that_knows_no_full_answers_is_asked_without() -> None:
    async def scenario(call: Call) -> None:
        if "ignore_eos" in call.body:
            await call.send(answer(b'{"error": {"message": "unknown field"}}', status=400))
        else:
            await writes(call)

    report = await measured(scenario)
    assert [rung.summary.answered for rung in report.rungs] == [4, 4]


async def test_a_shape_that_is_not_answered_is_named_and_the_others_are_measured() -> None:
    async def scenario(call: Call) -> None:
        if call.path == "/v1/completions":
            await call.send(answer(b'{"error": {"message": "not here"}}', status=404))
        else:
            await writes(call)

    settings = Settings(
        shapes=("chat", "completion"), cached=(False,), concurrency=(1,), requests=2
    )
    report = await measured(scenario, settings)
    assert [rung.shape for rung in report.rungs] == ["chat"]
    assert report.notes[0] == (
        "completion was not measured: the request was not answered (status 404: not here)."
    )


async def test_nothing_that_is_answered_is_an_error() -> None:
    async def scenario(call: Call) -> None:
        await call.send(answer(b"{}", status=500))

    with pytest.raises(StokerError, match="No shape of request could be measured"):
        await measured(scenario)


async def test_failures_under_load_are_counted() -> None:
    asked = 0

    async def scenario(call: Call) -> None:
        nonlocal asked
        asked += 1
        if asked in (4, 8):  # of the first rung the second, of the second rung the second
            await call.send(answer(b'{"error": {"message": "busy"}}', status=503))
        else:
            await writes(call)

    report = await measured(scenario)
    for rung in report.rungs:
        assert rung.summary.answered == 3
        assert rung.summary.broken == {"status 503: busy": 1}


async def test_stopping_it_keeps_what_was_measured() -> None:
    async with running(writes) as [backend]:
        endpoint = BenchTarget(Backend(backend.url, "openai"), MODEL)
        report = await report_on(endpoint, settings=QUICK, after_rung=Halt.stop)
    assert report.interrupted
    assert [rung.summary.answered for rung in report.rungs] == [4]
    assert "because the benchmark was stopped" in report.notes[-1]


async def test_prompts_shrink_to_a_small_context_and_a_note_reports_it() -> None:
    longest = 0

    async def scenario(call: Call) -> None:
        nonlocal longest
        longest = max(longest, len(str(call.body["messages"])) // 4)
        await writes(call)

    settings = Settings(shapes=("chat",), cached=(False,), concurrency=(1,), requests=2)
    async with running(scenario) as [backend]:
        endpoint = BenchTarget(Backend(backend.url, "openai"), MODEL, 1024)
        report = await report_on(endpoint, settings=settings)
    assert 300 < longest < 0.6 * 1024
    assert "chat was measured with prompts of about 435 tokens" in report.notes[0]


async def test_what_is_read_in_all_stays_below_a_million_tokens() -> None:
    """Agent turns of a quick server with a long context: 6 rungs would be 64 requests each."""
    sent = 0

    async def scenario(call: Call) -> None:
        nonlocal sent
        prompt = len(str(call.body["messages"]) + str(call.body.get("tools", ""))) // 4
        sent += prompt
        await call.stream(event("x"), event("x"), finish(), usage(prompt, 2), DONE)

    settings = Settings(shapes=("agent",), concurrency=(1, 2, 4), seconds=2000)
    async with running(scenario) as [backend]:
        endpoint = BenchTarget(Backend(backend.url, "openai"), MODEL, 131_072)
        report = await report_on(endpoint, settings=settings)
    assert report.notes == () or "late" in report.notes[0]
    assert {rung.summary.answered for rung in report.rungs} == {8}
    assert 300_000 < sent < 1_500_000
