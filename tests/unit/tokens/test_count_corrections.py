"""What a backend reports corrects later counts of the same shape, once it has repeated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.tokens import Corrections, Reconciled


def request(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}] * 3, **more}


def tools(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": f"t{n}", **more}} for n in range(count)]


def learned(*answers: tuple[dict[str, Any], int, int]) -> Corrections:
    corrections = Corrections()
    for asked, counted, used in answers:
        corrections.learn(asked, Reconciled(counted, used))
    return corrections


def test_a_difference_counts_once_another_request_has_shown_it_too() -> None:
    assert learned((request("a"), 1000, 1050)).of(request("c")) == 0
    assert learned((request("a"), 1000, 1050), (request("b"), 900, 950)).of(request("c")) == 50


def test_the_same_request_again_proves_nothing() -> None:
    assert learned(*[(request("a"), 1000, 1050)] * 3).of(request("c")) == 0


def test_differences_that_do_not_repeat_are_not_learned() -> None:
    answers = [(request(str(n)), 1000, 1000 + n) for n in range(1, 20)]
    assert learned(*answers).of(request("c")) == 0


def test_a_later_difference_that_repeats_replaces_the_one_before() -> None:
    answers = [(request("a"), 9, 12), (request("b"), 9, 12), (request("c"), 9, 14)]
    assert learned(*answers).of(request()) == 3
    assert learned(*answers, (request("d"), 9, 14)).of(request()) == 5


def test_a_shape_that_was_counted_exactly_stays_as_it_is_counted() -> None:
    off = [(request(text), 1000, 1013) for text in "ab"]
    assert learned((request("x"), 500, 500), *off).of(request("c")) == 0
    assert learned(*off, (request("x"), 500, 500)).of(request("c")) == 0


OTHER_SHAPES: list[dict[str, Any]] = [
    request(tools=tools(1)),
    request(tools=tools(9)),
    request(tools=tools(9, x_meta={"source": "server"})),
    request(reasoning_effort="low"),
    request(chat_template_kwargs={"enable_thinking": False}),
    {"messages": [{"role": "developer", "content": "hi"}] * 3},
    {"messages": [*request()["messages"], {"role": "assistant", "content": "so"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}] * 3},
]


@pytest.mark.parametrize("other", OTHER_SHAPES)
def test_requests_of_another_shape_are_not_corrected(other: dict[str, Any]) -> None:
    off = learned(*((request(text), 1000, 1050) for text in "ab"))
    assert (off.of(request()), off.of(other)) == (50, 0)


def test_what_is_not_in_the_prompt_makes_no_other_shape() -> None:
    off = learned(*((request(text), 1000, 1050) for text in "ab"))
    assert off.of(request(model="m", stream=True, max_tokens=7, temperature=0)) == 50


@pytest.mark.parametrize(
    ("counted", "used"), [(1405, 10), (1000, 740), (1000, 1260), (60, 2), (1000, 0), (1000, -5)]
)
def test_absurd_report_corrects_nothing(counted: int, used: int) -> None:
    assert learned(*((request(text), counted, used) for text in "abc")).of(request()) == 0


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(-(10**6), 10**7)), max_size=30))
def test_correction_is_bounded(reports: list[tuple[int, int]]) -> None:
    twice = [(request(f"{n} {c}"), c, u) for c, u in reports for n in range(2)]
    assert abs(learned(*twice).of(request())) <= 1024


def test_the_oldest_shapes_are_forgotten() -> None:
    off = learned(*((request(text), 1000, 1050) for text in "ab"))
    for number in range(256):
        off.learn(request(reasoning_effort=str(number)), Reconciled(1000, 1001))
    assert off.of(request()) == 0
