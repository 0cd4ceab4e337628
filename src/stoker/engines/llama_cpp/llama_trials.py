"""What of a plan for llama.cpp may be faster with another value on a machine: ``stoker tune``.

Only what leaves the answers as they are: a cache of 8 bits is the planner's choice, for room.
"""

from __future__ import annotations

from collections.abc import Iterator

from stoker.engines.llama_cpp.llama_experts import ARGUMENT as EXPERTS
from stoker.engines.llama_cpp.llama_experts import override, routed_layers
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
