"""The one place where a running deployment changes: each change is written and announced."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from stoker.planning import Plan
from stoker.server import deployment_state
from stoker.server.deployment_state import Deployment, LaunchSpec, LiveState, PhaseRecord
from stoker.server.engine_state import EngineState


class StateRecord:
    """A deployment as it is now. ``changes`` receives each new value."""

    def __init__(self, deployment: Deployment) -> None:
        self._now = deployment
        self.changes: asyncio.Queue[Deployment] = asyncio.Queue()

    @property
    def spec(self) -> LaunchSpec:
        """What was launched; its plan changes where an argument is corrected."""
        return self._now.spec

    @property
    def state(self) -> LiveState:
        """How it is now."""
        return self._now.state

    def move(self, status: EngineState, **changes: Any) -> None:
        """Move the engine to another state. Raises ``ValueError`` for a move that there is not."""
        self._set(replace(self._now, state=self.state.moved(status, **changes)))

    def note(self, **changes: Any) -> None:
        """Change what is known of the current state."""
        self._set(replace(self._now, state=replace(self.state, **changes)))

    def replan(self, plan: Plan) -> None:
        """Use another plan from the next start on."""
        self._set(replace(self._now, spec=replace(self.spec, plan=plan)))

    def enter(self, phase: str, detail: str = "") -> None:
        """Begin a phase of the start, or refine the detail of the one that is under way."""
        phases = self.state.phases
        if not phases or phases[-1].name != phase:
            self.note(phases=(*phases, PhaseRecord(phase, time.time(), detail)))
        elif detail:
            self.note(phases=(*phases[:-1], replace(phases[-1], detail=detail)))

    def _set(self, deployment: Deployment) -> None:
        self._now = deployment
        deployment_state.write(deployment)
        self.changes.put_nowait(deployment)
