"""What counts of drafts mean, and when they have gone on costing."""

from __future__ import annotations

import random
from dataclasses import astuple

import pytest

from stoker.planning.draft_use import (
    COSTS_BELOW,
    WARM_UP_STEPS,
    DraftCost,
    DraftCounts,
    DraftJudge,
    DraftUse,
)

#: Two drafts of which 1.2 are right in a step that takes 1.4 times as long.
COST = DraftCost(draft_steps=0.2, tokens_per_step=2.44)


def counted(steps: int, accepted_per_step: float, drafts: int = 2) -> DraftCounts:
    return DraftCounts(steps, drafts * steps, round(accepted_per_step * steps))


def judged(*accepted_per_step: float) -> list[bool]:
    """The verdict after each warm-up's worth of steps, with so many right in each of them."""
    judge, steps, accepted, verdicts = DraftJudge(COST), 0, 0, []
    for each in accepted_per_step:
        steps, accepted = steps + WARM_UP_STEPS, accepted + round(each * WARM_UP_STEPS)
        verdicts.append(judge.slow(DraftCounts(steps, 2 * steps, accepted)) is not None)
    return verdicts


def test_the_gain_is_the_tokens_of_a_step_by_what_the_step_takes() -> None:
    counts = counted(1000, 1.24)
    assert counts.tokens_per_step == pytest.approx(2.24)
    assert COST.gain(counts) == pytest.approx(2.24 / 1.4)
    # An engine that drafts less than it was told pays less, too.
    assert COST.gain(counted(1000, 0.4, drafts=1)) == pytest.approx(1.4 / 1.2)


def test_drafts_cost_where_two_stretches_in_a_row_are_slower_by_the_margin() -> None:
    even = 0.4  # 1.4 tokens in 1.4 steps
    assert judged(even, even, even) == [False] * 3
    just_within = COSTS_BELOW * 1.4 - 1 + 0.01
    assert judged(just_within, just_within) == [False] * 2
    assert judged(0.2, 0.2) == [False, True]
    assert judged(0.2, 1.2, 0.2, 0.2) == [False, False, False, True]


def test_a_long_time_in_which_they_paid_does_not_hide_that_they_cost_now() -> None:
    assert judged(*[1.2] * 20, 0.1, 0.1)[-2:] == [False, True]
    paid, judge = counted(20 * WARM_UP_STEPS, 1.2), DraftJudge(COST)
    assert judge.slow(paid) is None
    since = counted(2 * WARM_UP_STEPS, 0.1)
    after = DraftCounts(*(a + b for a, b in zip(astuple(paid), astuple(since), strict=True)))
    assert judge.slow(after) == since
    assert DraftUse(after, COST, slow=since).gain == pytest.approx(1.1 / 1.4)


def test_a_server_that_is_asked_late_is_judged_by_all_that_it_has_counted() -> None:
    assert DraftJudge(COST).slow(counted(2 * WARM_UP_STEPS, 0.2)) is not None
    assert DraftJudge(COST).slow(counted(2 * WARM_UP_STEPS - 1, 0.2)) is None


def test_nothing_is_judged_before_enough_steps_and_a_new_engine_begins_again() -> None:
    judge = DraftJudge(COST)
    assert judge.slow(counted(WARM_UP_STEPS - 1, 0.0)) is None
    assert judge.slow(counted(WARM_UP_STEPS, 0.0)) is None
    assert judge.slow(counted(2 * WARM_UP_STEPS - 1, 0.0)) is None
    # A crash: its counters are those of another process.
    assert judge.slow(counted(10, 0.0)) is None
    assert judge.slow(counted(WARM_UP_STEPS, 0.0)) is None
    assert judge.slow(counted(2 * WARM_UP_STEPS, 0.0)) is not None


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_switch_off_what_pays_nothing_and_costs_nothing(seed: int) -> None:
    draw = random.Random(seed)
    judge = DraftJudge(COST)
    steps = accepted = 0
    for _ in range(300):  # answers of 200 steps, of which each has its own share of right drafts
        share = draw.uniform(0.05, 0.35)
        accepted += sum(draw.random() < share for _ in range(2 * 200))
        steps += 200
        assert judge.slow(DraftCounts(steps, 2 * steps, accepted)) is None
