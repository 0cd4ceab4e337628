"""Every way to serve that is compared: servers, models, quantizations, GPUs for each copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stoker import engines
from stoker.application.capacity_request import CapacityRequest, GpuWish
from stoker.application.choice import choose
from stoker.application.launch_request import LaunchRequest, imagined_machine
from stoker.errors import StokerError, UsageError
from stoker.host import GpuSpec, find_gpu, known_gpus
from stoker.models import Purpose, find_known_model, known_models
from stoker.planning import Plan
from stoker.planning.quality_score import quality_points
from stoker.sizing import Replica
from stoker.sizing.cost import GpuServer, why_not_priced
from stoker.sizing.search import Option

#: GPUs in one server, and GPUs that one copy of a model is divided among.
_SIZES = (1, 2, 4, 8)
#: Requests at once that a replica is planned for: twice as many sequences fit (``max_num_seqs``).
_PARALLEL = 64
#: What is good enough, unless a quality was asked for, in points of SWE-bench Verified. Agents came
#: into common use with models of about 70 (Claude Sonnet 4: 72.7, May 2025); questions about code
#: are answered well by those of a year before; completions need a model that was made for them.
_GOOD_ENOUGH: Mapping[Purpose, float] = {"agent": 70.0, "chat": 50.0, "completion": 0.0}
#: More developers than this are not served from a machine under a desk; and NVIDIA's licence for
#: GeForce drivers rules out data centres, so gaming cards are for such teams only.
MOST_DESKTOP_DEVELOPERS = 10
_LEAST_GPU_BYTES = 24 * 1024**3


@dataclass(frozen=True, slots=True)
class CapacityOptions:
    """What is compared, and what was left out before."""

    options: tuple[Option, ...]
    #: The least quality that counted, in points of SWE-bench Verified; ``None`` for a named model.
    quality: float | None
    #: One reason why plans failed, where nothing is left to compare.
    problem: StokerError | None = None


def find_options(request: CapacityRequest) -> CapacityOptions:
    """Every option of a request. Raises ``UsageError`` for a GPU or model that is not known."""
    quality, names = _models(request)
    contexts = {name: _context(request, name) for name in names}
    servers = list(_servers(request))
    found: list[Option] = []
    problem: StokerError | None = None
    for gpu in dict.fromkeys(server.gpu.label for server in servers):
        own = [server for server in servers if server.gpu.label == gpu]
        for tensor_parallel in _SIZES:
            fitting = [server for server in own if server.gpus >= tensor_parallel]
            for name, context in contexts.items() if fitting else ():
                try:
                    copy = _copy(request, name, context, gpu, tensor_parallel)
                except StokerError as error:
                    problem = error
                    continue
                if copy is not None:
                    found += [Option(server, *copy) for server in fitting]
    return CapacityOptions(tuple(found), quality, problem)


def _copy(
    request: CapacityRequest, name: str, context: int, gpu: str, tensor_parallel: int
) -> tuple[Plan, Replica] | None:
    """One form of a model on a number of GPUs; ``None`` where its engine is not simulated."""
    machine = imagined_machine(gpu, tensor_parallel)
    wanted = LaunchRequest(
        model=name,
        purpose=request.purpose,
        parallel=_PARALLEL,
        context=context,
        tensor_parallel=tensor_parallel,
    )
    plan = choose(wanted, machine).plan
    planner = engines.lookup(plan.engine).planner
    if plan.gpus != tensor_parallel or machine.gpu is None or planner is None:
        return None
    replica = planner.replica(plan, machine.gpu) if planner.replica else None
    return None if replica is None else (plan, replica)


# --- servers -------------------------------------------------------------------------------------


def _servers(request: CapacityRequest) -> Iterator[GpuServer]:
    """The kinds of server to compare: those asked for, else those with a price."""
    wishes = request.gpus or tuple(GpuWish(gpu.label) for gpu in _usual(request))
    for wish in wishes:
        gpu = find_gpu(wish.name)
        for count in _SIZES if wish.count is None else (wish.count,):
            server = GpuServer(gpu, count)
            # What was named stays, to be reported as unpriced.
            if request.gpus or not why_not_priced(server, request.terms, request.costs):
                yield server


def _usual(request: CapacityRequest) -> Iterator[GpuSpec]:
    """GPUs that teams serve models on."""
    kinds = {"datacenter", "workstation"}
    if request.sized_developers <= MOST_DESKTOP_DEVELOPERS:
        kinds.add("desktop")
    for gpu in known_gpus():
        large = (gpu.memory_bytes or 0) >= _LEAST_GPU_BYTES
        if gpu.vendor == "nvidia" and gpu.kind in kinds and large and not gpu.unified:
            yield gpu


# --- models --------------------------------------------------------------------------------------


def _models(request: CapacityRequest) -> tuple[float | None, list[str]]:
    """The names of all forms of the models to compare, and the least quality that counted."""
    if request.model is not None:
        return None, _forms_of(request.model)
    suited = [
        known
        for known in known_models()
        if request.purpose in known.purposes
        and not known.avoid
        and known.max_context_tokens >= request.context
    ]
    scores = {
        variant.id: quality_points(known, known.model(variant))
        for known in suited
        for variant in known.weights
        if variant.format != "gguf"
    }
    if not scores:
        raise UsageError(
            f"No model of the catalogue has a context of {request.context:,} tokens.",
            f"It would have to be fit for {request.purpose}, too.",
            "Ask for a shorter --context, or name a --model.",
        )
    least = _GOOD_ENOUGH[request.purpose] if request.quality is None else request.quality
    names = [name for name, score in scores.items() if score >= least]
    best = max(scores.values())
    if not names:
        raise UsageError(
            f"No model reaches --quality {least:g}.",
            f"The best one that is fit for {request.purpose} has {best:.0f} points.",
            f"Ask for --quality {int(best)} or less.",
        )
    return least, names


def _context(request: CapacityRequest, name: str) -> int:
    """The context that was asked for, or the longest that a model of the catalogue has."""
    try:
        return min(request.context, find_known_model(name)[0].max_context_tokens)
    except UsageError:
        return request.context


def _forms_of(name: str) -> list[str]:
    """All quantizations of a model of the catalogue; another one by its own name alone."""
    try:
        known, variant = find_known_model(name)
    except UsageError:
        return [name]
    named_form = name.casefold() != known.id.casefold() and "/" in name
    forms = [variant] if named_form else list(known.weights)
    return [form.id for form in forms if form.format != "gguf"] or [name]
