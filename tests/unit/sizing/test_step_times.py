"""What is in a step's batch decides how long it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.planning.step_arithmetic import slower, touched_share
from stoker.sizing import StepTimes


@given(share=st.floats(0.001, 0.5), spread=st.floats(0.5, 50))
def test_one_token_touches_its_experts_and_many_tokens_touch_all(
    share: float, spread: float
) -> None:
    assert touched_share(share, 1, spread) == pytest.approx(share)
    assert touched_share(share, 2, spread) > share
    assert touched_share(share, 1e12, spread) > 0.99


def test_tokens_that_prefer_the_same_experts_touch_fewer() -> None:
    alike = 1 - (1 - 1 / 32) ** 64
    assert touched_share(1 / 32, 64, 1e6) == pytest.approx(alike, rel=1e-3)
    assert touched_share(1 / 32, 64, 2.0) < touched_share(1 / 32, 64, 20.0) < alike


@pytest.mark.parametrize(("share", "touched"), [(0.0, 0.0), (1.0, 1.0)])
def test_a_model_without_experts_touches_none_and_a_dense_one_all(
    share: float, touched: float
) -> None:
    assert touched_share(share, 5, 2.0) == touched


def test_launches_are_paid_only_with_a_prompt_and_only_where_work_does_not_hide_them() -> None:
    times = StepTimes(step_s=1e-3, read_s=4e-3, token_s=2e-5, launches_s=20e-3)
    assert times.batch_s(8, 0) < 6e-3
    assert 20e-3 < times.batch_s(8, 64) < 20.1e-3
    assert times.batch_s(8, 8000) == pytest.approx(
        StepTimes(1e-3, 4e-3, 2e-5).batch_s(8, 8000), 1e-3
    )


@given(one=st.floats(1e-6, 1e3), other=st.floats(0, 1e3))
def test_the_slower_of_two_things_counts(one: float, other: float) -> None:
    assert (
        max(one, other) * (1 - 1e-9) <= slower(one, other) <= max(one, other) * 2**0.25 * (1 + 1e-9)
    )
