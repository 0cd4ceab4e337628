"""The priority of a completion engine that shares the CPU with the chat's engine."""

from __future__ import annotations

from stoker import engines
from stoker.planning import Plan

#: The ``nice`` value of the completion engine on a CPU. With 10 it gets a ninth of what the chat's
#: engine gets of a core that both want, and all of an idle one.
#: ``benchmarks/completion_beside_chat.py`` measures the effect.
COMPLETION_NICENESS = 10


def completion_niceness(plan: Plan) -> int:
    """The niceness of the completion engine of ``plan``; 0 where it runs on a GPU."""
    return 0 if engines.get(plan.engine).runs_on_gpu(plan) else COMPLETION_NICENESS
