"""How fast plans turned out to be on this machine, kept where later plans are corrected by it.

``stoker up`` measures the answer that proves a start, and ``stoker bench`` what it sends; bench
counts where there is both. One answer is slow for many reasons, so that those of ``up`` count from
the third on, by their median. A model's own measurements correct its plans; those of others on the
same engine do so by half, because what they show is partly the machine and partly the model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from statistics import median
from typing import Annotated

import msgspec

from stoker import engines
from stoker.host import Host, lookup_gpu
from stoker.measured_file import MeasuredFile
from stoker.planning import Plan, Speed, Traffic
from stoker.planning.requirements import Need

#: No correction is larger than this: a machine that was busy for a while stays in use.
_MOST = 2.5
#: How much of what other models showed, on the scale of logarithms.
_OF_OTHERS = 0.5
#: What the answer after a start has to have for its rate to count, and about what its prompt has.
_LEAST_TOKENS, _SHORT_PROMPT_TOKENS = 32, 32
_BENCH = "stoker bench"
#: Answers whose median counts: of fewer it follows a single slow one. Older ones are dropped.
_LEAST_ANSWERS, _MOST_ANSWERS = 3, 5
#: A file with another was not written here.
_Factor = Annotated[float, msgspec.Meta(ge=1 / _MOST, le=_MOST)]


@dataclass(frozen=True, slots=True)
class MeasuredTimes:
    """Measured times divided by those that were predicted before any correction."""

    token: _Factor | None = None
    first_token: _Factor | None = None
    source: str = _BENCH
    date: str = ""
    #: Those of the answers after each start, the newest last.
    answers: tuple[_Factor, ...] = ()


_FILE = MeasuredFile("measured.json", MeasuredTimes)


def predictor(plan: Plan, host: Host) -> Callable[[Traffic], Speed | None] | None:
    """The speed of a plan for ``host`` under any traffic, corrected as the plan is; ``None`` where
    its engine has no model of that."""
    planner = engines.lookup(plan.engine).planner
    speed_under = planner.speed_under if planner is not None else None
    gpu = host.gpus[0] if host.gpus and plan.gpus else None
    spec = lookup_gpu(gpu.name, gpu.memory_total_bytes) if gpu else None
    if speed_under is None or spec is None:
        return None
    return partial(_corrected_speed, partial(speed_under, plan, spec), plan)


def _corrected_speed(
    predict: Callable[[Traffic], Speed | None], plan: Plan, traffic: Traffic
) -> Speed | None:
    speed = predict(traffic)
    return speed.times(*plan.corrected_by) if speed else None


def remember_answer(plan: Plan, host: Host, tokens: int, tokens_per_s: float | None) -> None:
    """Keep how quickly one short answer was written; from the third one on it counts."""
    if not tokens_per_s or tokens < _LEAST_TOKENS:
        return
    predict = predictor(plan, host)
    speed = predict(Traffic(1, _SHORT_PROMPT_TOKENS, tokens)) if predict else plan.speed
    if speed is None or speed.concurrency != 1:
        return
    factor = _bounded(1 / tokens_per_s / speed.token_s.expected * plan.corrected_by[1])

    def add(known: MeasuredTimes) -> MeasuredTimes:
        answers = (*known.answers, factor)[-_MOST_ANSWERS:]
        if known.source == _BENCH and known.date:
            return replace(known, answers=answers)
        token = median(answers) if len(answers) >= _LEAST_ANSWERS else None
        return replace(known, token=token, source="stoker up", date=_today(), answers=answers)

    _FILE.change(_key(plan, host), _name(plan), add)


def remember(
    plan: Plan,
    host: Host,
    *,
    token: float | None = None,
    first_token: float | None = None,
) -> None:
    """Keep how many times longer than predicted by ``plan`` a benchmark's tokens took.

    What can't be written is not kept: the measurement was made for something else.
    """
    if token is None and first_token is None:
        return
    first_by, token_by = plan.corrected_by

    def put(known: MeasuredTimes) -> MeasuredTimes:
        return MeasuredTimes(
            known.token if token is None else _bounded(token * token_by),
            known.first_token if first_token is None else _bounded(first_token * first_by),
            _BENCH,
            _today(),
            known.answers,
        )

    _FILE.change(_key(plan, host), _name(plan), put)


def _today() -> str:
    return date.today().isoformat()


def forget() -> bool:
    """Remove all of it. Whether there was any."""
    return _FILE.forget()


def corrected(plans: Sequence[Plan], host: Host, need: Need) -> list[Plan]:
    """The plans with the speed that was measured on ``host``, in the order that they came in."""
    entries = _FILE.read()
    return [_corrected(plan, entries.get(_key(plan, host), {}), need) for plan in plans]


def _corrected(plan: Plan, entries: Mapping[str, MeasuredTimes], need: Need) -> Plan:
    own = entries.get(_name(plan))
    first = _factor("first_token", own, entries)
    token = _factor("token", own, entries)
    if first is None and token is None:
        return plan
    better = plan.corrected(first or 1.0, token or 1.0, _reason(first, token, own))
    quick = _is_quick(better, need)
    return replace(better, usable=quick and (plan.usable or own is not None))


def _factor(
    what: str, own: MeasuredTimes | None, entries: Mapping[str, MeasuredTimes]
) -> float | None:
    value: float | None = getattr(own, what) if own is not None else None
    if value is not None:
        return value
    others = [math.log(v) for m in entries.values() if (v := getattr(m, what)) is not None]
    return math.exp(_OF_OTHERS * median(others)) if others else None


def _reason(first: float | None, token: float | None, own: MeasuredTimes | None) -> str:
    parts = list(_parts(first, token))
    where = f"on {own.date} ({own.source})" if own else "with other models on this engine, by half"
    return f"Measured here {where}: {' and '.join(parts)}."


def _parts(first: float | None, token: float | None) -> Iterator[str]:
    for name, factor in (("the first token", first), ("each token", token)):
        if factor is not None:
            yield f"{name} takes {factor:.2f} times what is predicted elsewhere"


def _is_quick(plan: Plan, need: Need) -> bool:
    if plan.speed is None:
        return plan.usable
    return (
        1 / plan.speed.token_s.expected >= need.least_tokens_per_s
        and plan.speed.first_token_s.expected <= need.most_first_token_s
        and (plan.most_at_once is None or plan.most_at_once >= plan.speed.concurrency)
    )


def _bounded(factor: float) -> float:
    return min(_MOST, max(1 / _MOST, factor))


def _name(plan: Plan) -> str:
    return f"{plan.model.id} {plan.model.quantization}"


def _key(plan: Plan, host: Host) -> str:
    parts = [host.cpu.name, host.cpu.cores, host.memory.total_bytes >> 30]
    parts += [gpu.name for gpu in host.gpus[: plan.gpus]]
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]
    return f"{plan.engine} {plan.gpus} GPU {digest}"
