"""Compare measured times with the plan's prediction, and with those of another endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stoker.checks.bench.concurrency_sweep import BenchReport, Rung
from stoker.checks.bench.statistics import Ratio, median_ratio
from stoker.checks.bench.workloads import Shape
from stoker.planning import Interval, Plan, Speed, Traffic

#: The predicted speed of a plan under a load; ``None`` where its model's shape is unknown.
Predict = Callable[[Traffic], Speed | None]

#: The names of the times that are compared.
FIRST_TOKEN, TOKEN = "first token", "time per token"


@dataclass(frozen=True, slots=True)
class Deviation:
    """One predicted time beside the measured median, in seconds."""

    what: str
    shape: Shape
    cached: bool
    concurrency: float
    predicted: Interval
    measured_s: float

    @property
    def off(self) -> float:
        """How far the measured time is from the prediction: 0.25 is a quarter longer."""
        return self.measured_s / self.predicted.expected - 1

    @property
    def within(self) -> bool:
        """Whether the measured time lies in the predicted range."""
        return self.predicted.low <= self.measured_s <= self.predicted.high


def against_plan(
    report: BenchReport, plan: Plan, predict: Predict | None = None
) -> list[Deviation]:
    """Each rung of the first endpoint for which there is a prediction.

    ``predict`` gets the load that was measured; where it returns ``None``, nothing is compared,
    because the plan was made for other prompts. Without ``predict``, the plan's own rates give the
    time to the first token of a prompt that is read alone, and the time per token at the
    concurrency that the plan was made for.
    """
    found = []
    for rung in report.rungs:
        if rung.endpoint != 0:
            continue
        if predict is None:
            first, token = _first_token(plan, rung), _token(plan, rung)
        else:
            first, token = _predicted(rung, predict)
        pairs = (
            (FIRST_TOKEN, first, rung.summary.first_token_s),
            (TOKEN, token, rung.summary.token_s),
        )
        for what, predicted, measured in pairs:
            if predicted is not None and measured is not None:
                where = (rung.shape, rung.cached, rung.concurrency)
                found.append(Deviation(what, *where, predicted, measured.p50))
    return found


def _predicted(rung: Rung, predict: Predict) -> tuple[Interval | None, Interval | None]:
    traffic = _traffic(rung)
    speed = predict(traffic) if traffic else None
    if speed is None:
        return None, None
    return (speed.first_token_s if rung.offered_per_s is None else None), speed.token_s


def _traffic(rung: Rung) -> Traffic | None:
    """The load of a rung.

    ``None`` where its prompts or their cached part are unknown, and where requests queued: the
    server then decides how many run at once.
    """
    seen = rung.summary
    unknown = rung.cached and seen.cached_tokens is None
    if not seen.prompt_tokens or not seen.answer_tokens or unknown or seen.keeps_up is False:
        return None
    at_once = 1 if rung.offered_per_s is None else max(1, round(seen.in_flight))
    hit = (seen.cached_tokens or 0) / seen.prompt_tokens
    return Traffic(at_once, round(seen.prompt_tokens), round(seen.answer_tokens), hit)


def _first_token(plan: Plan, rung: Rung) -> Interval | None:
    """The predicted time to the first token, for the part of the prompt that is not cached."""
    prompt, cached = rung.summary.prompt_tokens, rung.summary.cached_tokens
    unknown = prompt is None or (rung.cached and cached is None)
    if unknown or rung.offered_per_s is not None:
        return None
    if not plan.prefill_tokens_per_s or not plan.decode_tokens_per_s:
        return None
    new = (prompt or 0) - (cached or 0)
    expected = new / plan.prefill_tokens_per_s + 1 / plan.decode_tokens_per_s
    return _as_sure_as(plan.speed.first_token_s if plan.speed else None, expected)


def _token(plan: Plan, rung: Rung) -> Interval | None:
    made_for = plan.speed.concurrency if plan.speed else 1
    if not plan.decode_tokens_per_s or rung.concurrency != made_for:
        return None
    expected = 1 / plan.decode_tokens_per_s
    return _as_sure_as(plan.speed.token_s if plan.speed else None, expected)


def _as_sure_as(known: Interval | None, expected: float) -> Interval:
    """The interval around ``expected`` with the relative width of the known one."""
    if known is None:
        return Interval(expected, expected, expected)
    return Interval(
        expected,
        expected * known.low / known.expected,
        expected * known.high / known.expected,
    )


@dataclass(frozen=True, slots=True)
class Side:
    """The second endpoint's median divided by the first's, under one load; below 1 it is faster."""

    what: str
    shape: Shape
    cached: bool
    concurrency: float
    ratio: Ratio


def side_by_side(report: BenchReport) -> list[Side]:
    """The ratios of two endpoints, for each rung that both answered."""
    found = []
    for first, second in _pairs(report.rungs):
        for what, times in ((FIRST_TOKEN, _first_tokens), (TOKEN, _tokens)):
            ratio = median_ratio(times(first), times(second), seed=report.settings.seed)
            if ratio is not None:
                found.append(Side(what, first.shape, first.cached, first.concurrency, ratio))
    return found


def _pairs(rungs: Sequence[Rung]) -> list[tuple[Rung, Rung]]:
    load = {(r.shape, r.cached, r.concurrency): r for r in rungs if r.endpoint == 1}
    keys = [(r, (r.shape, r.cached, r.concurrency)) for r in rungs if r.endpoint == 0]
    return [(rung, load[key]) for rung, key in keys if key in load]


def _first_tokens(rung: Rung) -> list[float]:
    return [timing.first_token_s for timing in rung.timings if timing.answered]


def _tokens(rung: Rung) -> list[float]:
    times = [timing.token_s for timing in rung.timings if timing.answered]
    return [time for time in times if time is not None]
