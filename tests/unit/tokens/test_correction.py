"""What a backend reports corrects later counts, within reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.tokens import Correction, Reconciled

PLAIN: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}] * 3}
WITH_TOOLS: dict[str, Any] = {**PLAIN, "tools": [{}]}


def test_difference_corrects_the_next_count_of_its_kind_only() -> None:
    learned = Correction().learn(PLAIN, Reconciled(1000, 1050), Correction())
    assert learned.corrected(PLAIN, 2000) == 2050
    assert learned.corrected(WITH_TOOLS, 2000) == 2000


def test_answers_that_were_counted_before_either_came_do_not_add_up() -> None:
    before = Correction()
    learned = before.learn(PLAIN, Reconciled(1000, 1050), before)
    learned = learned.learn(PLAIN, Reconciled(1000, 1050), before)
    assert learned == Correction(plain_tokens=50)
    learned = learned.learn(PLAIN, Reconciled(1050, 1060), learned)
    assert learned == Correction(plain_tokens=60)


@pytest.mark.parametrize(
    ("counted", "used"), [(1405, 10), (1000, 740), (1000, 1260), (60, 2), (1000, 0), (1000, -5)]
)
def test_absurd_report_corrects_nothing(counted: int, used: int) -> None:
    known = Correction(plain_tokens=7)
    assert known.learn(PLAIN, Reconciled(counted, used), known) == known


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(-(10**6), 10**7)), max_size=30))
def test_correction_is_bounded_and_no_count_below_one(reports: list[tuple[int, int]]) -> None:
    learned = Correction()
    for counted, used in reports:
        learned = learned.learn(PLAIN, Reconciled(counted, used), learned)
    assert abs(learned.corrected(PLAIN, 10**6) - 10**6) <= 1024
    assert learned.corrected(PLAIN, 3) >= 1


def test_small_differences_in_one_direction_stop_at_the_bound() -> None:
    learned = Correction()
    for _ in range(100):
        learned = learned.learn(PLAIN, Reconciled(10_000, 8_000), learned)
    assert learned == Correction(plain_tokens=-1024)
    assert learned.corrected(PLAIN, 3) == 1
