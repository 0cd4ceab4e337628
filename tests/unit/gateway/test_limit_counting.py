"""What a request is counted as, when use counts, and what is corrected: pure, at any clock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest

from stoker.access.caller import Caller, CallerLimits
from stoker.gateway.limiting import rate_headers
from stoker.gateway.limiting.caller_limiter import CallerLimiter, Reservation, charges_of
from stoker.gateway.limiting.counters import Charge
from stoker.gateway.limiting.limit_plans import LimitPlan, LimitPlans, LimitRule, TokenPrice
from stoker.gateway.limiting.local_counters import LocalCounters, QuotaFile
from stoker.gateway.limiting.memory_counters import MemoryCounters
from stoker.gateway.limiting.request_tokens import RequestTokens, estimated_prompt, most_tokens
from stoker.gateway.limiting.use_windows import DAY, MINUTE, MONTH

NOON = datetime(2026, 2, 28, 12, tzinfo=timezone.utc).timestamp()
HOUR_S = 3600


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


class Limited:
    """One caller with limits, at a model, without a server."""

    def __init__(self, file: Path | None = None, plans: LimitPlans | None = None) -> None:
        self.clock = Clock()
        self.limiter = CallerLimiter(LocalCounters(QuotaFile(file) if file else None), self.clock)
        self.limiter.plans = plans or LimitPlans()

    def plan(self, owner: str = "ann", model: str = "coder", **limits: float) -> LimitPlan:
        caller = Caller(owner, "k1", limits=CallerLimits(**limits))  # type: ignore[arg-type]
        return self.limiter.plans.of(caller, model)

    def ask(self, plan: LimitPlan, prompt: int = 0, answer: int = 0) -> Reservation:
        return asyncio.run(self.limiter.reserve(plan, RequestTokens(prompt, answer)))

    def takes(self, plan: LimitPlan, prompt: int = 0, answer: int = 0) -> bool:
        """Whether a request that uses just this is taken."""
        reservation = self.ask(plan, prompt, answer)
        if reservation.outcome.taken:
            self.limiter.settle(reservation, RequestTokens(prompt, answer))
        return reservation.outcome.taken

    def refusal(self, plan: LimitPlan, prompt: int = 0) -> rate_headers.LimitReached:
        return rate_headers.refusal(self.ask(plan, prompt), self.clock.now)


def test_no_span_of_a_minute_holds_more_requests_than_the_limit() -> None:
    memory, plan = MemoryCounters(), Limited().plan(requests_per_minute=10)
    times = [NOON + step * 0.1 for step in range(2400)]
    taken = [t for t in times if memory.take(charges_of(plan, RequestTokens(0, 0), t)).taken]
    spans = [sum(begin <= t < begin + 60 for t in taken) for begin in taken]
    assert max(spans) == 10
    assert len(taken) == 40, "and four minutes hold four times the limit"


def test_refused_request_is_not_counted() -> None:
    limited = Limited()
    plan = limited.plan(requests_per_minute=5, tokens_per_minute=100)
    assert limited.takes(plan, prompt=60)
    assert not limited.takes(plan, prompt=60)
    (requests, tokens) = limited.ask(plan, prompt=10).outcome.uses
    assert (requests.total, tokens.total) == (2, 70)


def test_day_and_month_begin_at_midnight_in_utc() -> None:
    limited = Limited()
    day, month = limited.plan(tokens_per_day=100), limited.plan(tokens_per_month=100)
    assert limited.takes(day, 100)
    assert not limited.takes(day, 1)
    assert limited.takes(month, 100)
    limited.clock.now = NOON + 12 * HOUR_S - 1
    assert not limited.takes(day, 1)
    limited.clock.now += 1  # of the 1st of March
    assert limited.takes(day, 1)
    assert limited.takes(month, 1)


@pytest.mark.parametrize("window", [MINUTE, DAY, MONTH])
def test_bucket_counts_until_its_end(window: object) -> None:
    assert isinstance(window, type(MINUTE) | type(DAY) | type(MONTH))
    bucket = window.bucket(NOON)
    end = window.end_of(bucket)
    assert window.first(window.bucket(end - 0.001)) <= bucket < window.first(window.bucket(end))


@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_day", "tokens_per_month"])
def test_what_a_clock_that_was_ahead_has_counted_is_forgotten(tmp_path: Path, limit: str) -> None:
    file = tmp_path / "quotas.json"
    limited = Limited(file)
    limits: dict[str, Any] = {limit: 1}
    plan = limited.plan(**limits)
    limited.clock.now += 10 * 365 * 24 * HOUR_S
    assert limited.takes(plan, 1)
    asyncio.run(limited.limiter.close())
    limited.clock.now = NOON
    assert limited.takes(plan, 1)
    assert not limited.takes(plan, 1), "and what is counted now counts"
    after = Limited(file)
    asyncio.run(after.limiter.start())
    assert after.takes(plan, 1), "a restart has not kept it either"


def test_clock_that_goes_back_a_little_gives_nothing_back() -> None:
    limited = Limited()
    plan = limited.plan(requests_per_minute=2)
    assert limited.takes(plan)
    limited.clock.now -= 5
    assert limited.takes(plan)
    assert not limited.takes(plan)
    limited.clock.now += 61
    assert limited.takes(plan), "the earlier one is over"
    assert not limited.takes(plan)


def test_december_is_followed_by_january() -> None:
    december = datetime(2026, 12, 31, 23, tzinfo=timezone.utc).timestamp()
    assert MONTH.end_of(MONTH.bucket(december)) == december + HOUR_S


def test_what_was_reserved_too_much_is_given_back() -> None:
    limited = Limited()
    plan = limited.plan(tokens_per_minute=1000)
    reservation = limited.ask(plan, 500, 400)
    assert not limited.ask(plan, 200).outcome.taken
    limited.limiter.settle(reservation, RequestTokens(100, 50))
    assert limited.ask(plan, 850).outcome.taken


def test_what_was_used_beyond_the_reservation_counts_from_its_end() -> None:
    limited = Limited()
    plan = limited.plan(tokens_per_minute=1000)
    reservation = limited.ask(plan, 100, 100)
    limited.clock.now += 100
    limited.limiter.settle(reservation, RequestTokens(100, 900))
    assert limited.takes(plan, 200)
    assert not limited.takes(plan, 1)


def test_room_for_an_answer_is_no_larger_than_the_limit() -> None:
    limited = Limited()
    assert limited.takes(limited.plan(tokens_per_minute=1000), 10, 4096)


def test_prompt_that_is_larger_than_the_limit_is_refused_with_the_reason() -> None:
    limited = Limited()
    reached = limited.refusal(limited.plan(tokens_per_minute=1000), 1001)
    assert reached.message == (
        "This request may take 1001 tokens, and the limit is 1000 tokens a minute. "
        "Send a shorter prompt, or ask for a higher limit."
    )


def test_request_larger_than_any_of_its_limits_is_asked_for_no_other_try() -> None:
    limited = Limited()
    plan = limited.plan(tokens_per_minute=1000, tokens_per_month=1500)
    assert limited.takes(plan, 900)
    reached = limited.refusal(plan, 1001)
    assert (reached.retry_after_s, reached.is_quota) == (None, False)
    assert "the limit is 1000 tokens a minute" in reached.message


def test_upper_bound_of_the_tokens_is_no_reason_where_requests_are() -> None:
    limited = Limited()
    plan = limited.plan(requests_per_minute=1, tokens_per_minute=1000)
    assert limited.takes(plan, 10)
    reached = limited.refusal(plan, 1001)
    assert reached.retry_after_s == 61
    assert "The limit of 1 request a minute is reached" in reached.message


def test_refusal_shows_what_is_left_of_a_quota() -> None:
    limited = Limited(plans=LimitPlans(prices=[TokenPrice("*", 1.0)]))
    plan = limited.plan(cost_per_month=1.0)
    assert limited.takes(plan, 999_990)
    message = limited.refusal(plan, 20).message
    assert (
        "1 (money) a month has 0.00001 (money) left, and this request may take 0.00002" in message
    )


def test_refusal_names_the_limit_and_when_to_try_again() -> None:
    limited = Limited()
    plan = limited.plan(requests_per_minute=1)
    assert limited.takes(plan)
    limited.clock.now += 20
    reached = limited.refusal(plan)
    assert reached.message == "The limit of 1 request a minute is reached. Try again in 41s."
    assert (reached.retry_after_s, reached.is_quota) == (41, False)
    limited.clock.now += 41
    assert limited.takes(plan)


def test_quota_refusal_waits_for_midnight() -> None:
    limited = Limited()
    plan = limited.plan(tokens_per_day=10)
    assert limited.takes(plan, 10)
    reached = limited.refusal(plan, 1)
    assert (reached.retry_after_s, reached.is_quota) == (12 * HOUR_S, True)
    assert "The quota of 10 tokens a day is used up" in reached.message


def test_quota_in_money_counts_each_models_price() -> None:
    prices = [TokenPrice("big", 10.0, 30.0), TokenPrice("*", 0.5, 1.5)]
    limited = Limited(plans=LimitPlans(prices=prices))
    big, small = limited.plan(model="big", cost_per_day=1.0), limited.plan(cost_per_day=1.0)
    assert limited.takes(big, 40_000, 10_000)  # 0.40 + 0.30
    assert limited.takes(small, 400_000)  # 0.20
    assert not limited.takes(big, 10_001)  # 0.10 is left
    assert limited.takes(big, 10_000)


def test_requests_at_the_same_time_are_counted_until_they_end() -> None:
    limited = Limited()
    plan = limited.plan(max_concurrent=2)
    first, _second = limited.ask(plan), limited.ask(plan)
    assert not limited.ask(plan).outcome.taken
    for _ in range(30):  # ten minutes
        limited.clock.now += 20
        limited.limiter.renew()
    assert not limited.ask(plan).outcome.taken
    limited.limiter.settle(first, RequestTokens(0, 0))
    assert limited.ask(plan).outcome.taken
    assert not limited.ask(plan).outcome.taken


def test_requests_of_a_gateway_that_was_killed_stop_counting_after_a_minute() -> None:
    limited = Limited()
    plan = limited.plan(max_concurrent=1)
    assert limited.ask(plan).outcome.taken
    limited.clock.now += 59
    assert not limited.ask(plan).outcome.taken
    limited.clock.now += 2
    assert limited.ask(plan).outcome.taken


def test_rules_limit_models_for_each_owner_or_for_all_together() -> None:
    each = LimitRule(CallerLimits(requests_per_minute=2), model="co*")
    together = LimitRule(CallerLimits(requests_per_minute=3), model="coder", per_owner=False)
    limited = Limited(plans=LimitPlans([each, together]))
    ann, bob = limited.plan("ann"), limited.plan("bob")
    assert [limited.takes(ann) for _ in range(3)] == [True, True, False]
    assert [limited.takes(bob) for _ in range(2)] == [True, False]
    assert limited.plan("ann", "other").counters == ()


def test_name_with_brackets_is_limited_and_priced_by_that_name() -> None:
    name = "qwen[4bit]"
    rule = LimitRule(CallerLimits(cost_per_day=1.0), model=name, owner="ann[1]")
    plans = LimitPlans([rule], [TokenPrice(name, 2.0)])
    plan = plans.of(Caller("ann[1]", models=(name,)), name)
    assert (len(plan.counters), plan.price.input_per_million) == (1, 2.0)
    assert Caller("ann", models=(name,)).may_use(name)


def test_two_rules_of_the_same_patterns_are_one_limit() -> None:
    rules = [LimitRule(CallerLimits(requests_per_minute=n)) for n in (5, 2)]
    limited = Limited(plans=LimitPlans(rules))
    assert [limited.takes(limited.plan()) for _ in range(3)] == [True, True, False]


def test_names_of_counters_keep_owners_apart_whatever_they_are_called() -> None:
    limited = Limited()
    owners = ["a", "a:b", "a b", "a\0b", "a\ud800b", "ä", "a%3Ab"]
    names = {limited.plan(owner, requests_per_minute=1).counters[0].name for owner in owners}
    assert len(names) == len(owners)
    assert all(name.isascii() and name.isprintable() for name in names)


def test_headers_report_the_tightest_limit_in_openais_form() -> None:
    limited = Limited()
    plan = limited.plan(requests_per_minute=60, tokens_per_minute=10_000, tokens_per_day=5_000)
    headers = rate_headers.openai_headers(limited.ask(plan, 1_000), limited.clock.now)
    assert headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1m1s",
        "x-ratelimit-limit-tokens": "5000",
        "x-ratelimit-remaining-tokens": "4000",
        "x-ratelimit-reset-tokens": "12h0m0s",
    }


def test_headers_report_dates_in_anthropics_form() -> None:
    limited = Limited()
    plan = limited.plan(requests_per_minute=60)
    assert rate_headers.anthropic_headers(limited.ask(plan), limited.clock.now) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-02-28T12:01:01Z",
    }


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0ms"), (0.12, "120ms"), (1, "1s"), (1.5, "1.5s"), (360, "6m0s"), (3601, "1h0m1s")],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, written: str) -> None:
    assert rate_headers.duration(seconds) == written


def test_counters_that_hold_nothing_are_forgotten() -> None:
    memory, plan = MemoryCounters(), Limited().plan(requests_per_minute=1)
    memory.take(charges_of(plan, RequestTokens(0, 0), NOON))
    memory.tidy(NOON + 30)
    assert len(memory.all()) == 1
    memory.tidy(NOON + 62)
    assert memory.all() == []


def test_what_is_written_at_the_end_is_what_was_counted_last(tmp_path: Path) -> None:
    may_end = threading.Event()

    class SlowFile(QuotaFile):
        def save(self, charges: Sequence[Charge]) -> None:
            if charges[0].amount == 1:
                may_end.wait(5)
            super().save(charges)

    async def main() -> None:
        plan = Limited().plan(tokens_per_day=10)
        counters = LocalCounters(SlowFile(tmp_path / "quotas.json"))
        await counters.take(charges_of(plan, RequestTokens(1, 0), NOON))
        keeping = asyncio.create_task(counters.tidy(NOON))
        await asyncio.sleep(0)
        keeping.cancel()
        await counters.take(charges_of(plan, RequestTokens(2, 0), NOON))
        asyncio.get_running_loop().call_soon(may_end.set)
        await counters.close()

    asyncio.run(main())
    assert [charge.amount for charge in QuotaFile(tmp_path / "quotas.json").load()] == [3]


def test_quotas_outlast_a_restart_and_minutes_do_not(tmp_path: Path) -> None:
    file = tmp_path / "state" / "quotas.json"
    before = Limited(file)
    plan = before.plan(tokens_per_month=100, tokens_per_minute=100)
    assert before.takes(plan, 60)
    asyncio.run(before.limiter.close())
    assert file.stat().st_mode & 0o077 == 0

    after = Limited(file)
    asyncio.run(after.limiter.start())
    assert not after.takes(plan, 41)
    assert after.takes(plan, 40)


async def test_a_second_gateway_on_one_file_of_budgets_is_warned_and_overwrites_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "budgets.json"
    first, second = LocalCounters(QuotaFile(path)), LocalCounters(QuotaFile(path))
    await first.start()
    assert not caplog.records
    await second.start()
    assert "another gateway runs with this configuration" in caplog.text
    plan = Limited().plan(tokens_per_day=10)
    first.add(charges_of(plan, RequestTokens(3, 0), NOON))
    second.add(charges_of(plan, RequestTokens(5, 0), NOON))
    await first.close()
    await second.close()
    assert [charge.amount for charge in QuotaFile(path).load()] == [3]
    third = LocalCounters(QuotaFile(path))
    caplog.clear()
    await third.start()  # the file is free again
    assert not caplog.records
    await third.close()


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[[1]]", b'[["\xff"', b"[" * 100_000),
        b'[["a","day",1,2],["b","week",1,2]]',
    ],
)
def test_file_of_quotas_that_is_broken_stops_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "quotas.json"
    file.write_bytes(content)
    assert len(QuotaFile(file).load()) == content.count(b"day")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [{"role": "user", "content": "x" * 99_999}]}, RequestTokens(8192, 2048)),
        ({"messages": [{"content": "four"}], "n": 2}, RequestTokens(4647, 4096)),
        ({"messages": [], "tools": [{}], "max_tokens": 7}, RequestTokens(4651, 7)),
        ({"prompt": "four", "max_tokens": 7}, RequestTokens(32, 7)),
        ({"prompt": ["four", [1, 2]], "max_tokens": 7, "n": 3}, RequestTokens(46, 42)),
        ({"input": ["four", "six"]}, RequestTokens(24, 0)),
        ({"prompt": None, "max_tokens": -1, "n": True}, RequestTokens(40, 2048)),
    ],
)
def test_most_tokens_of_each_kind_of_request(
    body: dict[str, object], expected: RequestTokens
) -> None:
    assert most_tokens(body, len(orjson.dumps(body)), 8192) == expected


def test_estimate_reads_messages_and_tools() -> None:
    chat = {"messages": [{"content": "x" * 400}, {"content": None}], "tools": [{"a": "y" * 400}]}
    assert 150 < estimated_prompt(chat) < 400


def test_estimate_takes_anything_that_clients_send() -> None:
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    assert estimated_prompt({"messages": ["x", None], "tools": deep, "prompt": [{"a": [True]}]}) > 0


async def test_request_gets_the_place_of_one_that_is_about_to_end() -> None:
    """Its client has the whole answer a moment before the place is given back."""
    limited = Limited()
    plan = limited.plan(max_concurrent=1)
    ending = await limited.limiter.reserve(plan, RequestTokens(0, 0))
    asking = asyncio.create_task(limited.limiter.reserve(plan, RequestTokens(0, 0)))
    await asyncio.sleep(0)
    limited.limiter.settle(ending, RequestTokens(0, 0))
    assert (await asking).outcome.taken
