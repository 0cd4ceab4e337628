"""The one choice that ``stoker plan`` shows and ``stoker up`` starts."""

from __future__ import annotations

from collections.abc import Sequence

from stoker.errors import StokerError, UsageError
from stoker.host import Host
from stoker.models import Model
from stoker.planning import llama_plan
from stoker.planning.types import Plan


def choose(
    host: Host,
    candidates: Sequence[Model],
    *,
    engine: str | None = None,
    context: int | None = None,
    parallel: int | None = None,
) -> Plan:
    """The best plan for ``host`` among ``candidates``, which come best source first.

    The best model is the largest that fits in memory and answers fast enough to be waited for;
    where none is fast enough, the fastest that fits, which says so. Of the same model from several
    sources, the first wins. ``context`` is that of one request in tokens and ``parallel`` how many
    requests run at the same time; both are chosen where they are not given.

    Raises ``UsageError`` where what is asked for cannot be, and ``StokerError`` where nothing fits.
    """
    if engine not in (None, llama_plan.ENGINE):
        raise UsageError(
            f"Stoker cannot start {engine} here.",
            "It needs a GPU that the engine supports, and none was found.",
            f"Leave --engine out, or use --engine {llama_plan.ENGINE}.",
        )
    plans, problems = [], []
    for model in candidates:
        try:
            plans.append(llama_plan.plan_llama(host, model, context=context, parallel=parallel))
        except StokerError as problem:
            problems.append(problem)
    if not plans:
        raise problems[-1] if problems else _nothing_to_choose()
    usable = [plan for plan in plans if llama_plan.is_usable(plan)]
    if usable:
        return max(usable, key=lambda plan: plan.model.parameters or 0)
    return max(plans, key=lambda plan: plan.prefill_tokens_per_s or 0)


def _nothing_to_choose() -> StokerError:
    return StokerError(
        "There is no model to choose from.",
        "None is on this machine and none can be downloaded now.",
        "Connect to the internet, or give the path of a GGUF file: stoker up ./model.gguf.",
    )
