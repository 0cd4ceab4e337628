"""Workloads are what published traces show, and nonsense is refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from stoker.sizing import AGENT, CHAT, COMPLETION, OFFICE_DAY, Workload, draw_requests
from stoker.sizing.workload import ArrivingRequest

AGENTS = Workload(40, active_share=1, mix={AGENT: 1.0}, max_context_tokens=1_000_000)


def conversations(requests: list[ArrivingRequest]) -> list[list[ArrivingRequest]]:
    found: dict[int, list[ArrivingRequest]] = {}
    for request in requests:
        found.setdefault(request.session, []).append(request)
    return list(found.values())


def test_agents_append_and_write_what_tracelab_counted() -> None:
    talks = conversations(list(draw_requests(AGENTS, 3600 * 4)))
    appended = [
        b.prompt_tokens - a.prompt_tokens - a.output_tokens
        for talk in talks
        for a, b in pairwise(talk)
    ]
    written = [request.output_tokens for talk in talks for request in talk]
    assert sum(appended) / len(appended) == pytest.approx(1200, rel=0.1)
    assert 700 <= sorted(appended)[len(appended) // 2] <= 1000
    assert sum(written) / len(written) == pytest.approx(523, rel=0.1)


def test_a_conversation_is_summarised_before_it_reaches_the_context_window() -> None:
    load = Workload(10, active_share=1, mix={AGENT: 1.0}, max_context_tokens=30_000)
    requests = draw_requests(load, 4 * 3600)
    assert max(r.prompt_tokens + r.output_tokens for r in requests) <= 30_000
    assert len({r.session for r in requests}) > 10


def test_seats_have_the_mix_and_follow_the_day() -> None:
    load = Workload(500, active_share=0.4, mix={CHAT: 0.25, COMPLETION: 0.75}, profile=OFFICE_DAY)
    assert load.seats == 200
    day_s = 8 * 3600
    assert load.active_seats(0, day_s) == 140
    assert load.active_seats(1.5 * 3600, day_s) == 200
    assert load.active_seats(day_s - 1, day_s) == 120


def test_requests_are_in_order_and_the_same_for_a_seed() -> None:
    once, again = draw_requests(Workload(30), 900, 4), draw_requests(Workload(30), 900, 4)
    assert once == again
    assert [r.at_s for r in once] == sorted(r.at_s for r in once)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"developers": 0}, "0 developers"),
        ({"developers": -3}, "-3 developers"),
        ({"developers": 10**9}, "1000000000 developers: at most 100000"),
        ({"active_share": 0.0}, "active share of 0.0"),
        ({"active_share": 1.5}, "active share of 1.5"),
        ({"mix": {AGENT: 0.5, CHAT: 0.6}}, "adds up to 1.1 and not to 1"),
        ({"mix": {AGENT: 1.5, CHAT: -0.5}}, "adds up to 1"),
        ({"mix": {"dreams": 1.0}}, "names dreams"),
        ({"profile": ()}, "shares from 0 to 1"),
        ({"profile": (2.0,)}, "shares from 0 to 1"),
    ],
)
def test_what_can_not_be_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Workload(**{"developers": 10, **changes})
