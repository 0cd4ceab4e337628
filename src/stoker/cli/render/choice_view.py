"""How a choice is shown: what ``stoker plan`` and ``stoker up --dry-run`` have in common."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from stoker import engines
from stoker.application import (
    BlockedPlan,
    Choice,
    CompletionChoice,
    HostFacts,
    LaunchRequest,
    download_bytes,
)
from stoker.cli import launch_options
from stoker.cli.render.output import size
from stoker.engines import PlacementRequest
from stoker.planning import Plan

#: Models named for one obstacle; the others are counted.
_NAMED = 3


def notes(choice: Choice) -> list[str]:
    """What completes code, what is downloaded, what is assumed, and what can't be started."""
    completion = choice.completion.reasons if choice.completion else ()
    lines = [*completion, _fallback(choice), *_download(choice), _assumed(choice)]
    return [line for line in (*lines, *_blocked(choice)) if line]


def _assumed(choice: Choice) -> str:
    """What is assumed of a machine elsewhere; empty for this one."""
    if choice.machine.here or not choice.startable:
        return ""
    plan, host = choice.plan, choice.machine.host
    hub = "the model hub can be reached, and " if host.hub_reachable else ""
    assumed = engines.get(plan.engine).assumed(plan, host)
    return f"Assumed there: {hub}{assumed or engines.lookup(plan.engine).title}."


def _fallback(choice: Choice) -> str:
    """A note where agent mode, the default purpose, is too slow here."""
    if choice.purpose is not None or choice.request.purpose is not None or not choice.startable:
        return ""
    if choice.request.model is not None:
        return "It is too slow for agent mode here: planned for chat."
    return "Nothing that can be started is fast enough for agent mode: chosen for chat."


def _download(choice: Choice) -> list[str]:
    if not choice.startable:
        return []
    plan, count = choice.plan, choice.download_bytes
    request, here = choice.request, choice.machine.here
    wanted = PlacementRequest(python=request.python, native=request.native, here=here)
    return [
        f"Downloads {size(count)} from the {_origins(choice)}." if count else "",
        engines.get(plan.engine).also_fetched(plan, choice.machine.host, wanted),
    ]


def _origins(choice: Choice) -> str:
    fetched = [plan.model.origin for plan in choice.plans if download_bytes(plan)]
    return " and the ".join(dict.fromkeys(fetched))


def _blocked(choice: Choice) -> list[str]:
    """One line for each obstacle, with the models that it stops."""
    before = "Would be preferred, but can't be started" if choice.startable else "Can't be started"
    groups: dict[tuple[str, str], list[BlockedPlan]] = {}
    for one in choice.preferred:
        groups.setdefault((one.obstacle.why, one.obstacle.fix), []).append(one)
    return [f"{before}: {_named(stopped)}. {_reason(stopped)}" for stopped in groups.values()]


def _named(stopped: Sequence[BlockedPlan]) -> str:
    names = [f"{one.plan.model.served_name} on {one.plan.engine}" for one in stopped]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _reason(stopped: Sequence[BlockedPlan]) -> str:
    """What is true of all of them; a text that names one of them is omitted."""
    first = stopped[0].obstacle
    what = first.what if all(one.obstacle.what == first.what for one in stopped) else ""
    return " ".join(part for part in (what, first.why, first.fix) if part)


def document(plan: Plan) -> dict[str, Any]:
    """A plan as JSON: the names are those of its fields, sizes in bytes, times in seconds."""
    value = asdict(replace(plan, model=replace(plan.model, architecture=None, chat_template=None)))
    value["fingerprint"] = plan.fingerprint
    value["download_bytes"] = download_bytes(plan)
    return value


def completion_document(completion: CompletionChoice | None) -> dict[str, Any] | None:
    """What completes code as JSON; ``None`` where that was not asked for."""
    if completion is None:
        return None
    return {
        "plan": document(completion.plan) if completion.plan else None,
        "uses_chat_model": completion.uses_chat_model,
        "cost": asdict(completion.cost) if completion.cost else None,
        "reasons": completion.reasons,
    }


def blocked_document(blocked: BlockedPlan) -> dict[str, Any]:
    """A plan that can't be started, with what prevents it."""
    problem = blocked.obstacle
    obstacle = {"what": problem.what, "why": problem.why, "fix": problem.fix}
    return {**document(blocked.plan), "startable": False, "chosen": False, "obstacle": obstacle}


def documents(choice: Choice, most: int) -> list[dict[str, Any]]:
    """The best plans as JSON: first what can be started, the chosen one on top."""
    startable = [
        {**document(plan), "startable": True, "chosen": number == 0, "obstacle": None}
        for number, plan in enumerate(choice.startable[:most])
    ]
    return [*startable, *(blocked_document(blocked) for blocked in choice.preferred[:most])]


def start_command(asked: LaunchRequest, machine: HostFacts) -> str:
    """The command that starts on ``machine`` what was chosen for the request."""
    model = [asked.model] if asked.model else []
    command = shlex.join(["stoker", "up", *model, *launch_options.words(asked)])
    return f"Start it: {command}" if machine.here else f"Start it there: {command}"
