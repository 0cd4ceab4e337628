"""What of vLLM's speculative decoding Stoker knows of a plan, and of a server that runs."""

from __future__ import annotations

import json
from typing import Any

from stoker.engines.base import Drafting
from stoker.host import GpuSpec, Host
from stoker.planning.draft_use import DraftCost
from stoker.planning.serving_plan import Plan

_ARGUMENT = "speculative_config"


def _config(plan: Plan) -> dict[str, Any]:
    try:
        config = json.loads(str(plan.argument(_ARGUMENT) or "{}"))
    except ValueError:  # as the user wrote it: vLLM reports that
        return {}
    return config if isinstance(config, dict) else {}


def _cost(plan: Plan, host: Host, gpu: GpuSpec | None) -> DraftCost | None:
    """Of the model's own extra layers; those of other drafters are not known."""
    del host  # the plan names its GPUs
    config = _config(plan)
    number = config.get("num_speculative_tokens")
    if gpu is None or "mtp" not in str(config.get("method", "")) or not isinstance(number, int):
        return None
    from stoker.engines.vllm import vllm_speed  # noqa: PLC0415  (most hosts have no plan for vLLM)

    return vllm_speed.draft_cost(plan, gpu, number)


DRAFTING = Drafting(
    metrics_prefix="vllm:",
    # The process that takes the requests answers, and not the one that computes.
    asked_while_busy=True,
    arguments=(_ARGUMENT,),
    drafts=lambda plan: bool(_config(plan)),
    cost=_cost,
)
