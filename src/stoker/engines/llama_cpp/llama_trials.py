"""What of a plan for llama.cpp may be faster with another value on a machine: ``stoker tune``.

Only what leaves the answers as they are: a cache of 8 bits is the planner's choice, for room.
"""

from __future__ import annotations

from collections.abc import Iterator

from stoker.engines.llama_cpp import llama_drafts
from stoker.engines.llama_cpp.llama_drafts import KIND, MTP, NUMBER, OFF
from stoker.engines.llama_cpp.llama_experts import ARGUMENT as EXPERTS
from stoker.engines.llama_cpp.llama_experts import override, routed_layers
from stoker.engines.llama_cpp.llama_memory import LlamaCache, llama_memory
from stoker.engines.llama_cpp.llama_plan import GGML_TYPES, GPU_SHARE, GPU_SPARE_BYTES
from stoker.host import Host
from stoker.planning.serving_plan import Argument, Plan, Trial

#: Tokens that go through a layer together. A stop is noticed between batches, which ``n_batch``
#: bounds: it stays.
_UBATCHES = (64, 128, 256, 512)
#: Layers whose experts may change places at once.
_EXPERT_STEP = 2


def llama_trials(plan: Plan, host: Host) -> tuple[Trial, ...]:
    """Every change that is worth a measurement, the likeliest to help first."""
    return (
        *_threads(plan, host),
        *_drafts(plan),
        *_ubatches(plan),
        *_experts(plan),
    )


def _threads(plan: Plan, host: Host) -> Iterator[Trial]:
    now = plan.argument("cpuparams.n_threads")
    cores, logical = host.cpu.cores, host.cpu.threads
    for number in dict.fromkeys((cores, cores - 1, cores // 2, logical)):
        if number >= 1 and number != now:
            reason = f"{number} threads on {cores} cores."
            names = ("cpuparams.n_threads", "cpuparams_batch.n_threads")
            yield Trial(tuple(Argument(name, number, reason) for name in names))


def _drafts(plan: Plan) -> Iterator[Trial]:
    """Other numbers of drafts that have room, and none; some also where none were planned."""
    if not llama_drafts.can_draft(plan.model):
        return
    now = int(plan.argument(NUMBER) or 0) if plan.argument(KIND) == MTP else 0
    if now:
        yield Trial((Argument(KIND, OFF, "The model's own head drafts nothing."),))
    for number in range(1, llama_drafts.most_drafts(plan.model) + 1):
        if number != now and _has_room(plan, number):
            tokens = "token" if number == 1 else "tokens"
            reason = f"The model's own head drafts {number} {tokens}, measured on this machine."
            yield Trial(llama_drafts.draft_arguments(number, reason))


def _has_room(plan: Plan, drafts: int) -> bool:
    """Whether the plan's memory holds what drafts take; not where a part of the layers is on the
    CPU, which filled the GPU."""
    n_ubatch, memory = plan.argument("n_ubatch"), plan.memory
    whole = plan.argument("n_gpu_layers") == -1 and plan.argument(EXPERTS) is None
    if not isinstance(n_ubatch, int) or (plan.gpus and not whole):
        return False
    room = memory.budget_bytes
    if plan.gpus and memory.device_bytes:
        on_gpus = int(GPU_SHARE * memory.device_bytes) - plan.gpus * GPU_SPARE_BYTES
        room = min(room, on_gpus)
    types = {number: name for name, number in GGML_TYPES.items()}
    kind = types.get(int(plan.argument("cache_type_k") or 0), "f16")
    cache = LlamaCache(plan.max_model_len, plan.parallel, n_ubatch, kind, drafts)
    return llama_memory(plan.model, cache, room).total_bytes <= room


def _ubatches(plan: Plan) -> Iterator[Trial]:
    now, most = plan.argument("n_ubatch"), plan.argument("n_batch")
    for tokens in _UBATCHES:
        if tokens != now and isinstance(most, int) and tokens <= most:
            reason = f"{tokens} tokens of a prompt go through a layer together."
            yield Trial((Argument("n_ubatch", tokens, reason),))


def _experts(plan: Plan) -> Iterator[Trial]:
    """More experts in main memory leave the GPU room; fewer would not fit."""
    now = plan.argument(EXPERTS)
    architecture = plan.model.architecture
    if now is None or architecture is None or architecture.experts is None:
        return
    layers = routed_layers(str(now)) + _EXPERT_STEP
    if layers <= architecture.experts.num_layers:
        reason = f"The experts of {layers} layers in main memory."
        yield Trial((Argument(EXPERTS, override(plan.model, layers), reason),))
