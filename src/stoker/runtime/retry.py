"""Change the one argument that keeps an engine from starting, where that is safe."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from stoker.planning import Argument, Plan
from stoker.runtime.diagnose import Diagnosis


def corrected(plan: Plan, verdict: Diagnosis | None, fixed: Collection[str]) -> Plan | None:
    """The plan with the argument that the diagnosis names; ``None`` where there is none to try.

    Not where a person set the argument (``fixed``): they hear of it instead. Not where the value
    is the same already: it did not help.
    """
    change = verdict.change if verdict else None
    if verdict is None or change is None or change.argument in fixed:
        return None
    same = [a for a in plan.arguments if _spelled(a.name) == change.argument]
    if any(str(a.value) == change.value for a in same):
        return None
    value = int(change.value) if change.value.isdigit() else change.value
    name = same[0].name if same else change.argument
    argument = Argument(name, value, f"the first start failed: {verdict.cause}")
    others = tuple(a for a in plan.arguments if a not in same)
    length = value if change.argument == "max-model-len" else plan.max_model_len
    return replace(plan, arguments=(*others, argument), max_model_len=int(length))


def _spelled(argument: str) -> str:
    """The flag's own spelling: ``--max_model_len`` and ``max-model-len`` are one."""
    return argument.lstrip("-").replace("_", "-")
