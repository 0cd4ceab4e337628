"""A fit to measured answers finds the times of the server that gave them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker.sizing import (
    ArrivingRequest,
    LlamaCppReplica,
    MeasuredAnswer,
    StepTimes,
    VllmReplica,
    calibrate,
)
from stoker.sizing.step_calibration import misfit, replay_rounds

TRUTH = StepTimes(
    step_s=2e-3,
    read_s=11e-3,
    token_s=9e-5,
    sequence_s=2e-4,
    cache_token_s=6e-9,
    attention_s=3e-9,
    arrival_s=8e-3,
)
ALONE = [[ArrivingRequest(0.0, n, tokens, 40)] for n, tokens in enumerate((50, 1000, 8000))]
TOGETHER = [[ArrivingRequest(0.0, 10 * n + i, 900, 40) for i in range(n)] for n in (2, 4, 8)]
AGAIN = [[ArrivingRequest(0.0, 2, 8100, 20)]]


def measured(truth: VllmReplica | LlamaCppReplica) -> list[list[MeasuredAnswer]]:
    rounds = [*ALONE, *TOGETHER, *AGAIN]
    unknown = [[MeasuredAnswer(request, 1.0) for request in each] for each in rounds]
    times = iter(replay_rounds(unknown, truth))
    return [[MeasuredAnswer(request, *next(times)) for request in each] for each in rounds]


@pytest.mark.parametrize(
    "replica",
    [VllmReplica(TRUTH, 400_000), LlamaCppReplica(TRUTH, n_slots=4, n_ctx=16_384)],
)
def test_a_plan_that_is_off_three_times_is_corrected(
    replica: VllmReplica | LlamaCppReplica,
) -> None:
    planned = replace(
        replica, step_times=StepTimes.of_rates(prefill_tokens_per_s=3500, decode_tokens_per_s=200)
    )
    rounds = measured(replica)
    fitted = replace(planned, step_times=calibrate(rounds, planned))
    # The mean of the squares: 4 % off on average. What the plan says of the ratios counts too.
    assert (
        misfit(rounds, replay_rounds(rounds, fitted))
        < 0.04**2
        < misfit(rounds, replay_rounds(rounds, planned))
    )
    # A load that was not measured.
    other = [[MeasuredAnswer(ArrivingRequest(i / 10, 90 + i, 2500, 60), 1.0) for i in range(6)]]
    for got, true in zip(replay_rounds(other, fitted), replay_rounds(other, replica), strict=True):
        assert got[0] == pytest.approx(true[0], rel=0.15)
        assert got[1] == pytest.approx(true[1], rel=0.15)


def test_of_requests_sent_at_once_the_quickest_simulated_stands_for_the_quickest() -> None:
    """Their order in a list says nothing: any may have reached the server before the others."""
    replica = LlamaCppReplica(TRUTH, n_slots=1, n_ctx=16_384)
    requests = [ArrivingRequest(0.0, n, 900, 40) for n in range(3)]
    for first_s in ((1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (2.0, 3.0, 1.0)):
        answers = [MeasuredAnswer(r, s) for r, s in zip(requests, first_s, strict=True)]
        predicted = [first for first, _ in replay_rounds([answers], replica)]
        assert sorted(range(3), key=predicted.__getitem__) == sorted(
            range(3), key=first_s.__getitem__
        )


@pytest.mark.parametrize("begun_with", [1, 3, 5])
def test_how_a_burst_is_divided_into_steps_does_not_pass_for_speed(begun_with: int) -> None:
    replica = VllmReplica(TRUTH, 400_000)
    planned = replace(
        replica, step_times=StepTimes.of_rates(prefill_tokens_per_s=3500, decode_tokens_per_s=200)
    )
    came = [ArrivingRequest(0.0 if n < begun_with else 1e-3, 90 + n, 1500, 40) for n in range(8)]
    times = replay_rounds([[MeasuredAnswer(request, 1.0) for request in came]], replica)
    # The client sent all of them at once, and does not see when they came.
    burst = [
        MeasuredAnswer(request._replace(at_s=0.0), first_s, token_s)
        for request, (first_s, token_s) in zip(came, times, strict=True)
    ]
    rounds = [*measured(replica)[:3], burst]
    fitted = replace(planned, step_times=calibrate(rounds, planned))
    staggered = [ArrivingRequest(n / 5, 200 + n, 1500, 60) for n in range(12)]
    load = [[MeasuredAnswer(request, 1.0) for request in staggered]]
    for got, true in zip(replay_rounds(load, fitted), replay_rounds(load, replica), strict=True):
        assert got == pytest.approx(true, rel=0.1)


def test_a_wait_in_the_queue_does_not_pass_for_a_delay_before_it() -> None:
    """Such a delay makes nothing wait, so a server would seem to sustain more than it does."""
    replica = LlamaCppReplica(TRUTH, n_slots=4, n_ctx=16_384)
    planned = replace(
        replica, step_times=StepTimes.of_rates(prefill_tokens_per_s=3500, decode_tokens_per_s=200)
    )
    known = measured(replica)
    rounds = [*known[:3], known[5][::-1]]  # of the eight at once the last in the list came first
    rounds[0] = [slower(answer, 10) for answer in rounds[0]]  # other work ran on the server
    fitted = replace(planned, step_times=calibrate(rounds, planned))
    crowd = [[MeasuredAnswer(ArrivingRequest(0.0, 90 + i, 900, 40), 1.0) for i in range(40)]]
    (true_s, _), (got_s, _) = (max(replay_rounds(crowd, each)) for each in (replica, fitted))
    assert got_s == pytest.approx(true_s, rel=0.1)


def test_a_delay_before_the_queue_is_no_longer_than_the_quickest_answer() -> None:
    """Where a server's prompts do not slow each other down, no step time fits all rounds."""
    alone = [[MeasuredAnswer(ArrivingRequest(0.0, n, n, 1), n * 1.2e-3)] for n in (100, 1000, 4000)]
    crowd = [MeasuredAnswer(ArrivingRequest(0.0, 10 + n, 500, 1), 0.6) for n in range(8)]
    planned = LlamaCppReplica(
        StepTimes.of_rates(prefill_tokens_per_s=400, decode_tokens_per_s=60), 8, 16_384
    )
    assert calibrate([*alone, crowd], planned).arrival_s <= 0.12


def slower(answer: MeasuredAnswer, factor: float) -> MeasuredAnswer:
    assert answer.token_s is not None
    return replace(
        answer, first_token_s=answer.first_token_s * factor, token_s=answer.token_s * factor
    )


def test_nothing_measured_and_impossible_times_are_refused() -> None:
    with pytest.raises(ValueError, match="no measured request"):
        calibrate([], VllmReplica(TRUTH, 400_000))
    with pytest.raises(ValueError, match="not positive"):
        MeasuredAnswer(ArrivingRequest(0, 1, 10, 1), first_token_s=0.0)


def test_step_times_that_can_not_be_are_refused() -> None:
    for value in (-1e-3, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="negative or not finite"):
            StepTimes(step_s=value, read_s=0.0, token_s=0.0)
