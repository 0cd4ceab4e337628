"""Fits step times to requests that a real server answered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from stoker.sizing.fleet import Replica
from stoker.sizing.fleet_run import Engine, engine_of
from stoker.sizing.in_flight import InFlight
from stoker.sizing.step_times import StepTimes
from stoker.sizing.workload import ArrivingRequest

#: What is fitted. Routed experts stay as planned: a few requests don't separate them from the rest.
_FITTED = (
    *("step_s", "read_s", "token_s", "sequence_s", "cache_token_s", "attention_s"),
    *("prompt_s", "arrival_s"),
)
#: Where a plan has 0, the fit starts with this share of a step or of a token's arithmetic: large
#: enough to matter, so that the search sees in which direction to change it.
_SMALL = 0.1
#: Tokens before a prompt at which attention is taken to cost as much as ``_SMALL`` of the rest.
_CONTEXT_TOKENS = 4000
#: Tokens of the shortest prompts whose launches are taken to be no part of a CUDA graph.
_LAUNCHED_TOKENS = 512
#: How much it counts if a time's ratio to the others is off a plan's by a factor of e, beside being
#: off a measurement by as much. It keeps in place what the measurements do not determine, and what
#: they determine only by the noise of a few answers.
_PLAN_WEIGHT = 0.01
#: Logarithms of predicted over measured up to which an error counts with its square; beyond, with
#: its size (Huber 1964). Other work on a server makes one answer ten times slower, and squares
#: would let that one answer decide.
_USUAL_ERROR = 0.2
_FIRST_STRIDE, _LAST_STRIDE, _MOST_ROUNDS = 0.5, 0.004, 200
#: Requests that were sent within it count as sent at once.
_AT_ONCE_S = 5e-3
#: First tokens come from one step if they are no further apart, as a share of the time they took.
_ONE_STEP = 0.02
#: When those that missed the first step came: during it, however short it is.
_MISSED_S = 1e-4
#: Times below it are lost in the network and in the clock of the client.
_LEAST_S = 0.2e-3


@dataclass(frozen=True, slots=True)
class MeasuredAnswer:
    """A request that a real server answered: when it came in its round, and what was measured."""

    request: ArrivingRequest
    first_token_s: float
    #: Seconds for each token after the first; ``None`` where there was one token.
    token_s: float | None = None

    def __post_init__(self) -> None:
        if self.first_token_s <= 0 or (self.token_s is not None and self.token_s <= 0):
            raise ValueError(f"a measured time is not positive: {self}")


#: The answers to requests that were sent to a server with nothing else to do.
MeasuredRound = Sequence[MeasuredAnswer]


def calibrate(rounds: Sequence[MeasuredRound], planned: Replica) -> StepTimes:
    """The step times with which a simulation of ``planned`` gives what was measured.

    Measure rounds of one request with a short, a middle and a long prompt, one whose prompt was
    sent before, and rounds of several at once or overlapping: with fewer kinds, what they do not
    separate stays in the proportions of ``planned``. Each round is simulated from an empty queue,
    one after the other, so prompts of one session find in the cache what an earlier round left.
    Raises ``ValueError`` without any.
    """
    if not any(rounds):
        raise ValueError("there is no measured request to calibrate with")
    rounds = [_as_scheduled(answers) for answers in rounds]
    planned = replace(planned, step_times=_exposed(planned.step_times))
    start = _without_zeros(planned.step_times)
    plan = [math.log(getattr(start, name)) for name in _FITTED]
    anchor = _scaled(rounds, planned, start, plan)
    # Every request pays it. More would pass for waits, and let a server seem to have no queue.
    most_arrival_s = min(answer.first_token_s for answers in rounds for answer in answers)
    weights = [_PLAN_WEIGHT if getattr(planned.step_times, name) else 0.0 for name in _FITTED]

    def times_at(point: Sequence[float]) -> StepTimes:
        values = {name: math.exp(p) for name, p in zip(_FITTED, point, strict=True)}
        values["arrival_s"] = min(values["arrival_s"], most_arrival_s)
        return replace(start, **values)

    def error(point: Sequence[float]) -> float:
        drift = sum(
            weight * (p - a) ** 2 for weight, p, a in zip(weights, point, anchor, strict=True)
        )
        predicted = replay_rounds(rounds, replace(planned, step_times=times_at(point)))
        return misfit(rounds, predicted) + drift

    return times_at(_pattern_search(error, anchor))


def _as_scheduled(answers: MeasuredRound) -> list[MeasuredAnswer]:
    """The round with requests that were sent at once coming as the server found them.

    An idle server begins with those that are there. It was one of eight, or five of eight: chance
    decides, and all of them wait longer or shorter for it. But those of one step get their first
    token together, so the measurement shows how many they were.
    """
    began_s = min((answer.request.at_s for answer in answers), default=0.0)
    at_once = [a for a in answers if a.request.at_s <= began_s + _AT_ONCE_S]
    first_s = min((a.first_token_s for a in at_once), default=0.0)

    def came(answer: MeasuredAnswer) -> MeasuredAnswer:
        if answer.request.at_s > began_s + _AT_ONCE_S:
            return answer
        missed = answer.first_token_s > first_s * (1 + _ONE_STEP)
        at_s = began_s + (_MISSED_S if missed else 0.0)
        return replace(answer, request=answer.request._replace(at_s=at_s))

    return [came(answer) for answer in answers]


def replay_rounds(
    rounds: Sequence[MeasuredRound], replica: Replica
) -> list[tuple[float, float | None]]:
    """The simulated time to first token and per token of each request, in their order.

    Those that come at the very same time to an idle server are all there when it begins.
    """
    engine = engine_of(replica)
    times: list[tuple[float, float | None]] = []
    for answers in rounds:
        ones = [InFlight(answer.request) for answer in answers]
        ended_s = _run(engine, ones, replica.step_times)
        times += _ranked(answers, [_times_of(one, ended_s[one]) for one in ones])
    return times


def _run(engine: Engine, ones: Sequence[InFlight], times: StepTimes) -> dict[InFlight, float]:
    """Let an idle engine answer requests. Returns when each was done."""

    def queued_s(one: InFlight) -> float:
        return one.request.at_s + times.before_queue_s(one.request.prompt_tokens)

    arrivals = sorted(ones, key=queued_s, reverse=True)
    ended_s: dict[InFlight, float] = {}
    due_s: float | None = None
    while arrivals or due_s is not None:
        next_s = queued_s(arrivals[-1]) if arrivals else math.inf
        if due_s is None:
            at_s = arrivals[-1].request.at_s
            while arrivals and arrivals[-1].request.at_s == at_s:
                engine.add(arrivals.pop())
            due_s = engine.start(next_s)
        elif next_s < due_s:
            engine.add(arrivals.pop())
            due_s = engine.interrupt(next_s) or due_s
        else:
            ended_s |= dict.fromkeys(engine.finish(due_s), due_s)
            due_s = engine.start(due_s)
    return ended_s


def misfit(
    rounds: Sequence[MeasuredRound], predicted: Sequence[tuple[float, float | None]]
) -> float:
    """The mean square of the logarithms of predicted over measured times; large ones count less."""
    logs: list[float] = []
    answers = [answer for answers in rounds for answer in answers]
    for answer, (first_s, token_s) in zip(answers, predicted, strict=True):
        logs.append(_log_ratio(first_s, answer.first_token_s))
        if token_s is not None and answer.token_s is not None:
            logs.append(_log_ratio(token_s, answer.token_s))
    return sum(_loss(abs(each)) for each in logs) / len(logs)


def _loss(error: float) -> float:
    if error <= _USUAL_ERROR:
        return error * error
    return _USUAL_ERROR * (2 * error - _USUAL_ERROR)


def _log_ratio(predicted_s: float, measured_s: float) -> float:
    return math.log((predicted_s + _LEAST_S) / (measured_s + _LEAST_S))


def _ranked(
    answers: MeasuredRound, simulated: Sequence[tuple[float, float | None]]
) -> list[tuple[float, float | None]]:
    """The simulated times in the order of ``answers``: rank by rank among those sent at once.

    Such requests reach a server in an order that the client does not see, so the quickest answer in
    the simulation stands for the quickest that was measured.
    """
    order = range(len(answers))
    sent_s = [answer.request.at_s for answer in answers]
    own = sorted(order, key=lambda i: (sent_s[i], simulated[i][0]))
    theirs = sorted(order, key=lambda i: (sent_s[i], answers[i].first_token_s))
    stands_for = dict(zip(theirs, own, strict=True))
    return [simulated[stands_for[i]] for i in order]


def _times_of(one: InFlight, ended_s: float) -> tuple[float, float | None]:
    first_s = ended_s if one.first_s is None else one.first_s
    further = one.goal - one.request.prompt_tokens - 1
    token_s = (ended_s - first_s) / further if further > 0 else None
    return first_s - one.request.at_s, token_s


def _exposed(times: StepTimes) -> StepTimes:
    """``times`` with launches as an amount that each step with a prompt pays: what they exceed the
    work of a short prompt by. A few requests do not separate them from other such amounts."""
    work = replace(times, launches_s=0.0)
    exposed_s = times.batch_s(0, _LAUNCHED_TOKENS) - work.batch_s(0, _LAUNCHED_TOKENS)
    return replace(work, prompt_s=times.prompt_s + exposed_s)


def _without_zeros(times: StepTimes) -> StepTimes:
    """``times`` with a small value for each that is 0, so that it can be fitted as a factor."""
    step_s = max(_LEAST_S, times.step_s + times.read_s)
    token_s = times.token_s or _SMALL * step_s
    small = {
        "step_s": _SMALL * step_s,
        "read_s": _SMALL * step_s,
        "token_s": token_s,
        "sequence_s": _SMALL * step_s,
        "cache_token_s": _SMALL * step_s / _CONTEXT_TOKENS,
        "attention_s": _SMALL * token_s / _CONTEXT_TOKENS,
        "prompt_s": _SMALL * step_s,
        "arrival_s": _SMALL * step_s,
    }
    return replace(times, **{name: getattr(times, name) or small[name] for name in _FITTED})


def _scaled(
    rounds: Sequence[MeasuredRound], planned: Replica, start: StepTimes, point: list[float]
) -> list[float]:
    """The point with all times multiplied so that the median of the ratios is 1: a plan for
    another machine is off by one factor first of all."""
    answers = [answer for answers in rounds for answer in answers]
    predicted = replay_rounds(rounds, replace(planned, step_times=start))
    ratios = sorted(
        -_log_ratio(first_s, answer.first_token_s)
        for answer, (first_s, _) in zip(answers, predicted, strict=True)
    )
    shift = ratios[len(ratios) // 2]
    return [p + shift for p in point]


def _pattern_search(
    error: Callable[[Sequence[float]], float], start: Sequence[float]
) -> list[float]:
    """A minimum of ``error`` near ``start`` (Hooke and Jeeves 1961): steps along each axis, then on
    in the direction that helped, with strides that halve where nothing helps."""
    best, least = list(start), error(start)
    stride = _FIRST_STRIDE
    for _ in range(_MOST_ROUNDS):
        point, value = _explore(error, best, least, stride)
        if value >= least:
            stride /= 2
            if stride < _LAST_STRIDE:
                break
            continue
        onward = [2 * p - b for p, b in zip(point, best, strict=True)]
        best, least = point, value
        point, value = _explore(error, onward, error(onward), stride)
        if value < least:
            best, least = point, value
    return best


def _explore(
    error: Callable[[Sequence[float]], float], start: Sequence[float], least: float, stride: float
) -> tuple[list[float], float]:
    point = list(start)
    for axis in range(len(point)):
        for move in (stride, -stride):
            tried = [*point[:axis], point[axis] + move, *point[axis + 1 :]]
            value = error(tried)
            if value < least:
                point, least = tried, value
                break
    return point, least
