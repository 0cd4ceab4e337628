"""Change a plan's arguments: as the user sets them, or as a failed start suggests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from stoker.errors import UsageError
from stoker.planning import Argument, Plan

if TYPE_CHECKING:  # commands that read no log compile none of its expressions
    from stoker.server.diagnosis import Diagnosis


def corrected(plan: Plan, verdict: Diagnosis | None, fixed: Collection[str]) -> Plan | None:
    """The plan with the argument that the diagnosis names; ``None`` where there is none to try.

    Not where the user set the argument (``fixed``): the message names it instead. Not where the
    value is the same already: it did not help.
    """
    change = verdict.change if verdict else None
    if verdict is None or change is None or change.argument in fixed:
        return None
    same = [a for a in plan.arguments if spelled(a.name) == change.argument]
    if any(str(a.value) == change.value for a in same):
        return None
    return _with(plan, change.argument, change.value, f"the first start failed: {verdict.cause}")


def overridden(plan: Plan, wanted: Sequence[str]) -> Plan:
    """The plan with arguments of the engine that the user sets: ``NAME=VALUE`` or ``NAME``.

    Raises ``UsageError`` for text without a name.
    """
    for text in wanted:
        name, given, value = text.partition("=")
        if not spelled(name):
            raise UsageError(
                f"{text!r} names no argument of the engine.",
                fix="Write NAME=VALUE, for example --engine-arg max-num-seqs=4.",
            )
        # A new name keeps the user's spelling: llama.cpp's own names have underscores.
        name = name.lstrip("-")
        plan = _with(plan, name, value if given else "true", "set with --engine-arg")
    return plan


def _with(plan: Plan, name: str, text: str, reason: str) -> Plan:
    same = [a for a in plan.arguments if spelled(a.name) == spelled(name)]
    argument = Argument(same[0].name if same else name, _value(text), reason)
    others = tuple(a for a in plan.arguments if a not in same)
    is_length = spelled(name) == "max-model-len" and text.isdigit()
    length = int(text) if is_length else plan.max_model_len
    return replace(plan, arguments=(*others, argument), max_model_len=length)


def _value(text: str) -> str | int | bool:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdigit() else text


def spelled(argument: str) -> str:
    """The flag's own spelling: ``--max_model_len`` and ``max-model-len`` are one."""
    return argument.lstrip("-").replace("_", "-")
