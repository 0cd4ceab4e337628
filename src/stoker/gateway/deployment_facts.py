"""What the gateway shows of the deployment that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from stoker.errors import Problem
from stoker.planning.draft_use import DraftUse


@dataclass(frozen=True, slots=True)
class DeploymentFacts:
    """What was started and how it is now. Times are in seconds since the epoch."""

    model: str
    engine: str
    #: The engine's state: ``starting``, ``ready``, ``silent``, ``restarting``, ``failed`` or
    #: ``stopped``.
    status: str
    started_at: float
    ready_at: float | None = None
    #: How often the engine was started again after a crash.
    restarts: int = 0
    #: Why it is not ready, where it can't answer.
    problem: Problem | None = None
    #: What its drafts bring; ``None`` where it drafts nothing, or not enough yet.
    drafts: DraftUse | None = None
