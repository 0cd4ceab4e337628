"""Plans for one machine in order, the best first: what ``application.choose`` chooses by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from stoker.errors import StokerError, UsageError
from stoker.host import GpuSpec, Host
from stoker.models import KnownModel, Model
from stoker.planning import llama_plan, ollama_plan, vllm_cpu_plan, vllm_plan
from stoker.planning.parameter_count import check_complete
from stoker.planning.requirements import Candidate, Requirements, check
from stoker.planning.serving_plan import Plan

_ENGINES = (vllm_plan.ENGINE, llama_plan.ENGINE, ollama_plan.ENGINE)
#: So many can share llama.cpp's slots.
_LLAMA_USERS = 4
#: Points: as many as answers that are a quarter quicker are worth.
_VLLM_MARGIN = 0.5
#: Operating systems on which vLLM runs on GPUs.
_VLLM_SYSTEMS = ("Linux",)


def rank(
    host: Host,
    candidates: Sequence[Candidate],
    requirements: Requirements,
    gpu: GpuSpec | None = None,
) -> list[Plan]:
    """Plans for ``host``, the best first, one for each model.

    The best model is the one worth most for code (``worth``) of those that fit in memory and answer
    fast enough to be waited for; where none is fast enough, speed counts for more, and the plan
    says that it is slow. Of the same model from several sources the first wins.

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
    # llama.cpp shares one cache among few slots: for many users vLLM's paging is what is wanted,
    # and llama.cpp only where that runs nothing of what is offered.
    many = requirements.users > _LLAMA_USERS or (gpu is not None and gpu.kind == "datacenter")
    first = [c for c in suitable if not _is_gguf(c)] if many and _vllm_runs(host, gpu) else suitable
    plans, problems = _planned(host, first, requirements, gpu)
    if not plans and first != suitable:
        plans, problems = _planned(host, suitable, requirements, gpu)
    if not plans:
        raise (
            _nothing_fits(problems, requirements) if problems else _none_for(suitable, requirements)
        )
    return _ordered(plans)


def _too_many_users(
    host: Host,
    candidates: Sequence[Candidate],
    requirements: Requirements,
    gpu: GpuSpec | None,
    best: Plan,
) -> StokerError:
    """What the best would be like for so many, and how many it would serve."""
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
        f"The best for so many, {best.model.id}, would write {best.decode_tokens_per_s or 0:.1f} "
        f"tokens/s for each{waits}.",
        f"{enough} More GPUs serve more: stoker plan --gpu NAME --gpus N.",
    )


def _serves(
    host: Host, candidates: Sequence[Candidate], requirements: Requirements, gpu: GpuSpec | None
) -> bool:
    try:
        return _ranked(host, candidates, requirements, gpu)[0].usable
    except StokerError:
        return False


def candidates_of(catalogue: Sequence[KnownModel]) -> list[Candidate]:
    """Every form of every model of the catalogue, as it would be fetched from the hub."""
    return [
        Candidate(known.model(variant), known, variant.made_for)
        for known in catalogue
        for variant in known.weights
    ]


def _suitable(candidates: Sequence[Candidate], requirements: Requirements) -> Iterator[Candidate]:
    """Those that serve the purpose and that nothing speaks against, unless one was named."""
    for candidate in candidates:
        avoid = candidate.known is not None and candidate.known.avoid
        unfit = requirements.purpose is not None and not candidate.serves(requirements.purpose)
        if requirements.named or not (avoid or unfit) or (candidate.model.path and not unfit):
            yield candidate


def _planned(
    host: Host, candidates: Sequence[Candidate], requirements: Requirements, gpu: GpuSpec | None
) -> tuple[list[Plan], list[StokerError]]:
    """The candidates that can run here, and why the others cannot."""
    plans: list[Plan] = []
    problems: list[StokerError] = []
    for candidate in candidates:
        engine = engine_for(candidate.model, requirements.engine)
        if requirements.engine not in (None, engine):
            continue
        try:
            plan = _plan_on(engine, host, candidate, requirements, gpu)
        except StokerError as problem:
            problems.append(problem)
            continue
        if plan is not None:
            plans.append(plan)
    return plans, problems


def _plan_on(
    engine: str, host: Host, candidate: Candidate, requirements: Requirements, gpu: GpuSpec | None
) -> Plan | None:
    """The plan on one engine; ``None`` where that does not run here. Raises as planning does."""
    if candidate.model.path is not None:
        check_complete(candidate.model)
    if engine == llama_plan.ENGINE:
        return llama_plan.plan_llama(host, candidate, requirements, gpu)
    if engine == ollama_plan.ENGINE:
        return ollama_plan.plan_ollama(host, candidate, requirements, gpu)
    if gpu is not None and _vllm_runs(host, gpu):
        return vllm_plan.plan_vllm(host, gpu, candidate, requirements)
    if requirements.engine == vllm_plan.ENGINE and not host.gpus:
        return vllm_cpu_plan.plan_vllm_cpu(host, candidate, requirements)
    return None


def engine_for(model: Model, wanted: str | None = None) -> str:
    """What would serve it. Ollama only where it is ``wanted``, because Stoker does not start it."""
    if model.format != "gguf":
        return vllm_plan.ENGINE
    return ollama_plan.ENGINE if wanted == ollama_plan.ENGINE else llama_plan.ENGINE


def _is_gguf(candidate: Candidate) -> bool:
    return candidate.model.format == "gguf"


def _vllm_runs(host: Host, gpu: GpuSpec | None) -> bool:
    maker = gpu.vendor if gpu is not None else None
    return bool(host.gpus) and maker in ("nvidia", "amd") and host.system in _VLLM_SYSTEMS


def _check_engine(host: Host, requirements: Requirements, gpu: GpuSpec | None) -> None:
    if requirements.engine is not None and requirements.engine not in _ENGINES:
        raise UsageError(
            f"Nothing can be planned for the engine {requirements.engine}.",
            f"Plans are made for {', '.join(_ENGINES)}.",
            "Leave --engine out, or name one of those.",
        )
    on_cpu = not host.gpus and host.system in _VLLM_SYSTEMS
    if requirements.engine == vllm_plan.ENGINE and not (on_cpu or _vllm_runs(host, gpu)):
        raise UsageError(
            "vllm cannot be planned here.",
            "It needs Linux and an NVIDIA or AMD GPU that Stoker knows, and there is none.",
            f"Leave --engine out, or use --engine {llama_plan.ENGINE}.",
        )


def _ordered(plans: list[Plan]) -> list[Plan]:
    """Usable plans by merit, then the others, of which quick ones first; one for each model."""
    best: dict[str, Plan] = {}
    for plan in sorted(plans, key=_order, reverse=True):
        best.setdefault(plan.model.served_name, plan)
    return list(best.values())


def is_better(one: Plan, other: Plan) -> bool:
    """Whether ``one`` is ranked before ``other``."""
    return _order(one) > _order(other)


def _order(plan: Plan) -> tuple[bool, float]:
    return plan.usable, _merit(plan) if plan.usable else _merit_of_slow(plan)


def _merit(plan: Plan) -> float:
    """Worth, and up to three points for answers that come quickly; 30 tokens/s are neutral.

    Where engines are about equally quick vLLM goes first: it serves several requests from one
    cache, and its speeds are known better.
    """
    quickness = 1.5 * math.log2((plan.decode_tokens_per_s or 1.0) / 30)
    margin = _VLLM_MARGIN if plan.engine == vllm_plan.ENGINE else 0.0
    return plan.score + max(-3.0, min(3.0, quickness)) + margin


def _merit_of_slow(plan: Plan) -> float:
    """Worth, and eight points for each doubling of the speed of prompts, which people wait for."""
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
        "with more of it: `stoker plan --gpu NAME` says what would run there.",
    )


def _none_for(suitable: Sequence[Candidate], requirements: Requirements) -> StokerError:
    """There was nothing to plan: no model at all, or none whose files the engine reads."""
    others = [
        c for c in suitable if engine_for(c.model, requirements.engine) != requirements.engine
    ]
    if requirements.engine is None or not requirements.named or not others:
        return _nothing_to_choose()
    model = others[0].model
    needed = "a Hugging Face folder" if requirements.engine == vllm_plan.ENGINE else "a GGUF file"
    return UsageError(
        f"{requirements.engine} can't serve {model.id}.",
        f"Its files are {model.format}, and {requirements.engine} needs {needed}.",
        f"Use --engine {engine_for(model)} for it, or leave --engine out.",
    )


def _nothing_to_choose() -> StokerError:
    return StokerError(
        "There is no model to choose from.",
        "None is on this machine, none can be downloaded now, and none was made for what is asked.",
        "Connect to the internet, or give the path of a GGUF file: stoker up ./model.gguf.",
    )
