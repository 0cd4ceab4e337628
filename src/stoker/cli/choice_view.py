"""How a choice is shown: what ``stoker plan`` and ``stoker up --dry-run`` have in common."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any

from stoker.application import BlockedPlan, Choice, HostFacts, LaunchRequest, download_bytes
from stoker.cli import request
from stoker.cli.output import size
from stoker.errors import StokerError
from stoker.planning import Plan


def notes(choice: Choice) -> list[str]:
    """What is downloaded, what is taken for granted, and what can't be started."""
    lines = [_fallback(choice), *_download(choice), request.assumptions(choice.machine)]
    return [line for line in (*lines, *_blocked(choice)) if line]


def _fallback(choice: Choice) -> str:
    """Said where agent mode, which is what is chosen for by itself, is out of reach."""
    if choice.purpose is not None or choice.request.purpose is not None or not choice.startable:
        return ""
    return "Nothing that can be started is quick enough for agent mode: chosen for chat."


def _download(choice: Choice) -> list[str]:
    if not choice.startable:
        return []
    plan, count = choice.plan, choice.download_bytes
    lines = [f"Downloads {size(count)} from the {plan.model.origin}." if count else ""]
    if plan.engine == "vllm" and not (choice.request.python or choice.request.native):
        lines.append("Docker or Podman fetches vLLM's image where it is not there yet.")
    return lines


def _blocked(choice: Choice) -> list[str]:
    """One line for each obstacle, with the models that it stops."""
    before = "Would be preferred, but can't be started" if choice.startable else "Can't be started"
    stopped = sorted(choice.blocked, key=lambda one: _reason(one.obstacle))
    lines = []
    for reason, group in groupby(stopped, key=lambda one: _reason(one.obstacle)):
        names = [one.plan.model.served_name for one in group]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines.append(f"{before}: {', '.join(names[:3])}{more}. {reason}")
    return lines


def _reason(obstacle: StokerError) -> str:
    """What applies to every model that is stopped by it: not the name of one."""
    return f"{obstacle.why} {obstacle.fix}"


def document(plan: Plan) -> dict[str, Any]:
    """A plan as JSON: the names are those of its fields, sizes in bytes, times in seconds."""
    value = asdict(replace(plan, model=replace(plan.model, architecture=None, chat_template=None)))
    value["fingerprint"] = plan.fingerprint
    value["download_bytes"] = download_bytes(plan)
    return value


def blocked_document(blocked: BlockedPlan) -> dict[str, Any]:
    """A plan that can't be started, with what stands in the way."""
    problem = blocked.obstacle
    obstacle = {"what": problem.what, "why": problem.why, "fix": problem.fix}
    return {**document(blocked.plan), "startable": False, "chosen": False, "obstacle": obstacle}


def documents(choice: Choice, most: int) -> list[dict[str, Any]]:
    """The best plans as JSON: first what can be started, the chosen one before all."""
    startable = [
        {**document(plan), "startable": True, "chosen": number == 0, "obstacle": None}
        for number, plan in enumerate(choice.startable[:most])
    ]
    return [*startable, *(blocked_document(blocked) for blocked in choice.blocked[:most])]


def start_command(asked: LaunchRequest, machine: HostFacts) -> str:
    """What to type on ``machine`` to start what was chosen for the request."""
    model = [asked.model] if asked.model else []
    command = shlex.join(["stoker", "up", *model, *request.words(asked)])
    return f"Start it: {command}" if machine.here else f"Start it there: {command}"
