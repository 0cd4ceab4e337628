"""Plans for one machine in order, the best first: what ``application.choose`` chooses by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from stoker import engines
from stoker.engines import Engine, Planner
from stoker.errors import StokerError, UsageError
from stoker.host import GpuSpec, Host
from stoker.models import Model
from stoker.planning.parameter_count import check_complete
from stoker.planning.requirements import Candidate, Requirements, check
from stoker.planning.serving_plan import Plan

#: Points for each halving below what is comfortable. Any number from 6 to 12 gives agents the same
#: first choice on all 24 machines whose plans were reviewed: with fewer a DGX Spark gets a dense
#: model at 12 tokens/s, which users call too slow (``planning.requirements.NEEDS``),
#: and with more a machine of 16 GB the smallest model that there is.
_SLOW_POINTS = 8.0
#: What people are asked for where an engine can't read a model's files.
_FILES = {"safetensors": "a Hugging Face folder", "gguf": "a GGUF file"}


def rank(
    host: Host,
    candidates: Sequence[Candidate],
    requirements: Requirements,
    gpu: GpuSpec | None = None,
) -> list[Plan]:
    """Plans for ``host``, the best first, one for each model.

    The best model is the best for code (``quality_points``) of those that fit in memory and answer
    fast enough to be waited for; where none is fast enough, speed counts for more, and the plan
    marks it as slow. Of the same model from several sources the first wins.

    Raises ``UsageError`` where what is asked for cannot be, and ``StokerError`` where nothing fits.
    """
    check(requirements)
    _check_engine(host, requirements, gpu)
    ordered = _ranked(host, candidates, requirements, gpu)
    if requirements.users > 1 and not ordered[0].usable:
        raise _too_many_users(host, candidates, requirements, gpu, ordered[0])
    return ordered


def _ranked(
    host: Host, candidates: Sequence[Candidate], requirements: Requirements, gpu: GpuSpec | None
) -> list[Plan]:
    suitable = list(_suitable(candidates, requirements))
    pairs = _pairs(suitable, requirements)
    first = _for_many(pairs, host, requirements, gpu)
    plans, problems = _planned(host, first, requirements, gpu)
    if plans and requirements.users == 1:
        others = [pair for pair in pairs if pair not in first]
        limited, _ = _planned(host, others, requirements, gpu)
        plans += [plan for plan in limited if _on_one_gpu(plan, host)]
    if not plans and len(first) < len(pairs):
        plans, problems = _planned(host, pairs, requirements, gpu)
    if not plans:
        raise (
            _nothing_fits(problems, requirements) if problems else _none_for(suitable, requirements)
        )
    return _ordered(plans)


def _on_one_gpu(plan: Plan, host: Host) -> bool:
    """Whether all of it has room there. One user of a datacenter's card of 24 GB is better served
    by the four bits of a limited engine than by the small model that others have room for; where
    main memory would have to help, the others' models are the better ones."""
    return plan.gpus == 1 and plan.memory.total_bytes <= (host.gpus[0].memory_total_bytes or 0)


def _pairs(
    candidates: Sequence[Candidate], requirements: Requirements
) -> list[tuple[Candidate, Planner]]:
    """Each candidate with the planner of each engine that is to serve it."""
    wanted = requirements.engine
    readers: dict[str, list[Planner]] = {}
    pairs = []
    for candidate in candidates:
        key = candidate.engine or candidate.model.format
        if key not in readers:
            named = [engines.lookup(candidate.engine)] if candidate.engine else None
            found = engines_for(candidate.model, wanted) if named is None else named
            readers[key] = [engine.planner for engine in found if engine.planner is not None]
        pairs += [(candidate, planner) for planner in readers[key]]
    return pairs


def engines_for(model: Model, wanted: str | None = None) -> list[Engine]:
    """The engines that can serve ``model``: ``wanted``, or else each that Stoker can start."""
    return [
        engine
        for engine in engines.planned()
        if model.format in engine.formats
        and (engine.launcher is not None if wanted is None else engine.name == wanted)
    ]


def _for_many(
    pairs: Sequence[tuple[Candidate, Planner]],
    host: Host,
    requirements: Requirements,
    gpu: GpuSpec | None,
) -> Sequence[tuple[Candidate, Planner]]:
    """The pairs to plan first: for many users those whose engine is not limited to a few.

    A limited engine is for where no other runs what is offered.
    """

    def limited(planner: Planner) -> bool:
        most = planner.most_users
        datacenter = gpu is not None and gpu.kind == "datacenter"
        return most is not None and (requirements.users > most or datacenter)

    planners = {id(planner): planner for _, planner in pairs}.values()
    if not any(limited(planner) for planner in planners):
        return pairs
    if not any(not limited(p) and p.why_not(host, gpu) is None for p in planners):
        return pairs
    return [(candidate, planner) for candidate, planner in pairs if not limited(planner)]


def _too_many_users(
    host: Host,
    candidates: Sequence[Candidate],
    requirements: Requirements,
    gpu: GpuSpec | None,
    best: Plan,
) -> StokerError:
    """What the best would be like for all users, and how many it would serve."""
    served = requirements.users // 2
    while served > 1 and not _serves(host, candidates, replace(requirements, users=served), gpu):
        served //= 2
    enough = f"It would do for about {served:,} users."
    if served <= 1:
        alone = _serves(host, candidates, replace(requirements, users=1), gpu)
        enough = "It would do for one." if alone else "It is slow for one, too."
    speed = best.speed
    waits = f", the first word after {speed.first_token_s.expected:,.0f} s" if speed else ""
    if speed and best.most_at_once is not None and best.most_at_once < speed.concurrency:
        waits += f", and has room for {best.most_at_once:,} of {speed.concurrency:,} at once"
    return StokerError(
        f"Nothing on this machine serves {requirements.users:,} users quickly enough.",
        f"The best for all of them, {best.model.id}, would write "
        f"{best.decode_tokens_per_s or 0:.1f} tokens/s for each{waits}.",
        f"{enough} More GPUs serve more: stoker plan --gpu NAME --gpus N.",
    )


def _serves(
    host: Host, candidates: Sequence[Candidate], requirements: Requirements, gpu: GpuSpec | None
) -> bool:
    try:
        return _ranked(host, candidates, requirements, gpu)[0].usable
    except StokerError:
        return False


def _suitable(candidates: Sequence[Candidate], requirements: Requirements) -> Iterator[Candidate]:
    """Those that serve the purpose and that nothing speaks against, unless one was named."""
    for candidate in candidates:
        avoid = candidate.known is not None and candidate.known.avoid
        unfit = requirements.purpose is not None and not candidate.serves(requirements.purpose)
        if requirements.named or not (avoid or unfit) or (candidate.model.path and not unfit):
            yield candidate


def _planned(
    host: Host,
    pairs: Sequence[tuple[Candidate, Planner]],
    requirements: Requirements,
    gpu: GpuSpec | None,
) -> tuple[list[Plan], list[StokerError]]:
    """The candidates that can run here, and why the others cannot."""
    plans: list[Plan] = []
    problems: list[StokerError] = []
    for candidate, planner in pairs:
        try:
            if candidate.model.path is not None:
                check_complete(candidate.model)
            plan = planner.plan(host, candidate, requirements, gpu)
        except StokerError as problem:
            problems.append(problem)
            continue
        if plan is not None:
            plans.append(plan)
    return plans, problems


def _check_engine(host: Host, requirements: Requirements, gpu: GpuSpec | None) -> None:
    if requirements.engine is None:
        return
    planners = {engine.name: engine.planner for engine in engines.planned()}
    planner = planners.get(requirements.engine)
    if planner is None:
        raise UsageError(
            f"Nothing can be planned for the engine {requirements.engine}.",
            f"Plans are made for {', '.join(planners)}.",
            "Leave --engine out, or name one of those.",
        )
    problem = planner.why_not(host, gpu)
    if problem is not None:
        raise problem


def _ordered(plans: list[Plan]) -> list[Plan]:
    """Usable plans by merit, then the others, of which quick ones first; one for each model."""
    best: dict[str, Plan] = {}
    for plan in sorted(plans, key=_order, reverse=True):
        best.setdefault(plan.model.served_name, plan)
    return list(best.values())


def reordered(plans: Sequence[Plan]) -> list[Plan]:
    """The plans of a ranking in order, where what is known of their speed has changed."""
    return sorted(plans, key=_order, reverse=True)


def is_better(one: Plan, other: Plan) -> bool:
    """Whether ``one`` is ranked before ``other``."""
    return _order(one) > _order(other)


def _order(plan: Plan) -> tuple[bool, float]:
    return plan.usable, _merit(plan) if plan.usable else _merit_of_slow(plan)


def _merit(plan: Plan) -> float:
    """Quality, and up to three points for answers that come quickly; 30 tokens/s are neutral.

    Slower than is comfortable costs ``_SLOW_POINTS`` for each halving, and drafts do not count
    there: how many are right depends on the text. Where engines are about equally quick, the
    engine's margin decides.
    """
    rate = plan.decode_tokens_per_s or 1.0
    steady = plan.undrafted_tokens_per_s or rate
    quickness = 1.5 * math.log2(rate / 30)
    waiting = _SLOW_POINTS * max(0.0, math.log2(max(1.0, plan.comfortable_tokens_per_s) / steady))
    planner = engines.lookup(plan.engine).planner
    margin = planner.margin if planner is not None else 0.0
    return plan.score + max(-3.0, min(3.0, quickness)) - waiting + margin


def _merit_of_slow(plan: Plan) -> float:
    """Quality, and eight points for each doubling of the speed at which prompts are read."""
    return plan.score + 8.0 * math.log2(plan.prefill_tokens_per_s or 1.0)


def _nothing_fits(problems: Sequence[StokerError], requirements: Requirements) -> StokerError:
    """The one problem where a model was named, else what all of them come to."""
    wrong = next((p for p in problems if isinstance(p, UsageError)), None)
    if requirements.named or len(problems) == 1:
        return wrong or problems[-1]
    if (
        requirements.context is not None
        and wrong is not None
        and all(isinstance(p, UsageError) for p in problems)
    ):
        return wrong
    return StokerError(
        "Nothing useful fits on this machine.",
        f"{len(problems)} were tried. The last of them: {problems[-1].what} {problems[-1].why}",
        "Ask for a shorter --context or fewer --users, close what holds memory, or use a machine "
        "with more of it: `stoker plan --gpu NAME` shows what would run there.",
    )


def _none_for(suitable: Sequence[Candidate], requirements: Requirements) -> StokerError:
    """There was nothing to plan: no model at all, or none whose files the engine reads."""
    wanted = requirements.engine
    others = [c.model for c in suitable if not engines_for(c.model, wanted)]
    if wanted is None or not requirements.named or not others:
        return _nothing_to_choose()
    model = others[0]
    needed = " or ".join(_FILES[form] for form in engines.lookup(wanted).formats)
    able = " or ".join(f"--engine {engine.name}" for engine in engines_for(model))
    return UsageError(
        f"{wanted} can't serve {model.id}.",
        f"Its files are {model.format}, and {wanted} needs {needed}.",
        f"Use {able} for it, or leave --engine out.",
    )


def _nothing_to_choose() -> StokerError:
    return StokerError(
        "There is no model to choose from.",
        "No model for this purpose is on this machine or can be downloaded now.",
        "Connect to the internet, or give the path of a GGUF file: stoker up ./model.gguf.",
    )
