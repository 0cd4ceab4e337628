"""A slow backend reads its head once in two minutes, and then what is added in 30 seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stoker.gateway import FitSettings
from stoker.gateway.prompt.prefill_limit import PrefillLimit
from stoker.tokens import ReadingTime, budget_for

SLOW = FitSettings(max_prompt_tokens="auto", prefill_tokens_per_s=100.0)


def asked(question: str = "why?", system: str = "You help.", **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"messages": messages, **more}


def test_the_head_may_take_two_minutes_and_what_is_added_the_target() -> None:
    assert PrefillLimit(SLOW).reading_time(asked()) == ReadingTime(9472, 2304)


def test_two_slow_cores_use_all_of_a_window_of_8192() -> None:
    time = PrefillLimit(SLOW).reading_time(asked())
    assert time is not None
    assert time.head_tokens > budget_for(8192).prompt_tokens


@pytest.mark.parametrize(
    "settings",
    [
        FitSettings(),
        FitSettings(max_prompt_tokens="auto"),  # how fast it reads is not known yet
        FitSettings(max_prompt_tokens=4000, prefill_tokens_per_s=1.0),
    ],
)
def test_time_bounds_nothing_where_it_is_not_asked_for(settings: FitSettings) -> None:
    assert PrefillLimit(settings).reading_time(asked()) is None


def test_an_operators_number_bounds_the_prompt() -> None:
    limit = PrefillLimit(FitSettings(max_prompt_tokens=4000))
    assert (limit.prompt_tokens(), limit.infill_tokens()) == (4000, 4000)
    assert PrefillLimit(SLOW).prompt_tokens() is None


def test_a_measured_speed_changes_neither_a_known_head_nor_a_known_conversation() -> None:
    limit = PrefillLimit(SLOW)
    before = limit.reading_time(asked())
    limit.learn(40.0)
    assert limit.reading_time(asked()) == before
    other = limit.reading_time(asked("and that?"))
    assert before is not None
    assert other == ReadingTime(before.head_tokens, 1024)
    assert limit.reading_time(asked(system="Another client.")) == ReadingTime(3840, 1024)


def test_a_system_prompt_that_changes_at_its_end_is_still_the_same_clients() -> None:
    limit, system = PrefillLimit(SLOW), "You are an agent. " * 100
    before = limit.reading_time(asked(system=system))
    limit.learn(500.0)
    after = limit.reading_time(asked(system=system + "Your memory: none."))
    assert before is not None
    assert after is not None
    assert after.head_tokens == before.head_tokens


def test_however_slow_the_backend_an_agent_is_left_what_it_needs() -> None:
    crawling = FitSettings(max_prompt_tokens="auto", prefill_tokens_per_s=1.0)
    assert PrefillLimit(crawling).reading_time(asked()) == ReadingTime(2560, 1024)
    assert PrefillLimit(crawling).infill_tokens() == 1024


@pytest.mark.parametrize(
    ("parameters", "time"),
    [
        (494_000_000, ReadingTime(2560, 2304, 1097)),
        (1_540_000_000, ReadingTime(9472, 2304)),
        (None, ReadingTime(9472, 2304)),
    ],
)
def test_a_small_model_gets_a_head_in_which_it_finds_its_tools(
    parameters: int | None, time: ReadingTime
) -> None:
    """However fast it is read: with 39 tools Qwen2.5-Coder-0.5B makes tools up."""
    limit = PrefillLimit(replace(SLOW, parameters=parameters))
    assert limit.reading_time(asked()) == time


def test_limits_of_more_clients_than_are_kept_follow_the_speed_again() -> None:
    limit = PrefillLimit(SLOW)
    first = limit.reading_time(asked())
    for number in range(600):
        limit.reading_time(asked(system=f"Client {number}"))
    limit.learn(1000.0)
    assert limit.reading_time(asked()) != first
