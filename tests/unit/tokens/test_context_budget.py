"""A window is divided so that prompt and answer always fit it together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.tokens import asked_max_tokens, budget_for, clamp_max_tokens, prompt_tokens_for_time


@pytest.mark.parametrize(
    ("window", "prompt", "answer"), [(2048, 1536, 512), (8192, 6144, 2048), (32768, 28672, 4096)]
)
def test_the_answer_gets_a_quarter_up_to_4096(window: int, prompt: int, answer: int) -> None:
    budget = budget_for(window)
    assert (budget.prompt_tokens, budget.answer_tokens) == (prompt, answer)


def test_a_client_that_asks_for_less_leaves_more_to_the_prompt() -> None:
    assert budget_for(8192, 100).prompt_tokens == 8092


def test_time_bounds_the_prompt_below_the_window() -> None:
    budget = budget_for(32768, max_prompt_tokens=prompt_tokens_for_time(120.0))
    assert budget.prompt_tokens == 3600
    assert budget.hard_prompt_tokens == 28672


@given(st.integers(2, 10**6), st.none() | st.integers(1, 10**7), st.data())
def test_prompt_and_answer_fit_the_window(
    window: int, asked: int | None, data: st.DataObject
) -> None:
    budget = budget_for(window, asked)
    prompt = data.draw(st.integers(1, budget.prompt_tokens))
    answer = budget.clamp(asked, prompt)
    assert answer is None if asked is None else answer is not None and 1 <= answer <= asked
    assert prompt + (answer or 0) <= window


@pytest.mark.parametrize("value", [None, 0, -1, True, "10", 1.5])
def test_a_max_tokens_that_is_no_positive_integer_is_no_limit(value: object) -> None:
    assert asked_max_tokens({"max_tokens": value}) is None


def test_the_newer_name_wins() -> None:
    assert asked_max_tokens({"max_tokens": 5, "max_completion_tokens": 7}) == 7


def test_every_limit_that_a_request_names_is_clamped_and_none_is_added() -> None:
    asked = {"max_completion_tokens": None, "max_tokens": 99_999}
    assert clamp_max_tokens(asked, 50) == {"max_completion_tokens": None, "max_tokens": 50}
    both = {"max_completion_tokens": 40, "max_tokens": 99_999}
    assert clamp_max_tokens(both, 50) == {"max_completion_tokens": 40, "max_tokens": 50}
    assert clamp_max_tokens({"prompt": "x"}, 50) == {"prompt": "x"}
