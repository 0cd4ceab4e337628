"""What of a plan for vLLM may be faster with another value on a machine: ``stoker tune``.

Only what leaves the answers as they are: a cache of 8 bits is the planner's choice, for room.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from stoker.host import Host
from stoker.planning.serving_plan import Argument, Plan, Trial

_BATCHED = (1024, 2048, 4096, 8192, 16_384)
_DRAFTS = (1, 2, 3)


def vllm_trials(plan: Plan, host: Host) -> tuple[Trial, ...]:
    """Every change that is worth a measurement, the likeliest to help first."""
    del host  # the plan names its GPUs
    if not plan.gpus:
        return tuple(_batched(plan))
    return (*_drafts(plan), *_batched(plan))


def _batched(plan: Plan) -> Iterator[Trial]:
    """The next smaller and the next larger piece of a prompt."""
    now = plan.argument("max_num_batched_tokens")
    if not isinstance(now, int):
        return
    smaller = [tokens for tokens in _BATCHED if tokens < now][-1:]
    larger = [tokens for tokens in _BATCHED if tokens > now][:1]
    for tokens in (*smaller, *larger):
        reason = f"Prompts are read in pieces of {tokens:,} tokens."
        yield Trial((Argument("max_num_batched_tokens", tokens, reason),))


def _drafts(plan: Plan) -> Iterator[Trial]:
    """Other numbers of guesses, where the plan has any: each number is another launch."""
    config = plan.argument("speculative_config")
    if config is None:
        return
    now = json.loads(str(config))
    for number in _DRAFTS:
        if number != now["num_speculative_tokens"]:
            value = json.dumps({**now, "num_speculative_tokens": number})
            yield Trial((Argument("speculative_config", value, f"{number} guesses ahead."),))
