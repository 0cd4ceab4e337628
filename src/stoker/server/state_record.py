"""The one place where a running deployment changes: each change is written and announced."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, Protocol

from stoker.planning import Plan
from stoker.server import deployment_state
from stoker.server.deployment_state import Deployment, LaunchSpec, LiveState, PhaseRecord
from stoker.server.engine_state import EngineState


class EngineRecord(Protocol):
    """What one engine's manager sees and changes of its deployment."""

    @property
    def spec(self) -> LaunchSpec:
        """What was launched, as far as it is about this engine."""
        ...

    @property
    def state(self) -> LiveState:
        """How the engine is now."""
        ...

    def move(self, status: EngineState, **changes: Any) -> None:
        """Move the engine to another state. Raises ``ValueError`` for a move that there is not."""
        ...

    def note(self, **changes: Any) -> None:
        """Change what is known of the current state."""
        ...

    def replan(self, plan: Plan) -> None:
        """Use another plan from the next start on."""
        ...

    def enter(self, phase: str, detail: str = "") -> None:
        """Begin a phase of the start, or refine the detail of the one that is under way."""
        ...


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
        self.note(phases=_entered(self.state.phases, phase, detail))

    def move_completion(self, status: EngineState, **changes: Any) -> None:
        """Move the completion engine to another state."""
        self._set(replace(self._now, completion=self.completion.moved(status, **changes)))

    def note_completion(self, **changes: Any) -> None:
        """Change what is known of the completion engine's current state."""
        self._set(replace(self._now, completion=replace(self.completion, **changes)))

    def replan_completion(self, plan: Plan) -> None:
        """Use another plan for the completion engine from its next start on."""
        completion = self.spec.completion
        if completion is not None:
            completion = replace(completion, plan=plan)
            self._set(replace(self._now, spec=replace(self.spec, completion=completion)))

    @property
    def completion(self) -> LiveState:
        """How the completion engine is; ``starting`` before its start."""
        return self._now.completion or LiveState()

    def _set(self, deployment: Deployment) -> None:
        self._now = deployment
        deployment_state.write(deployment)
        self.changes.put_nowait(deployment)


class CompletionRecord:
    """The completion engine's part of a record: its own state, in the same file.

    Its ``spec`` is a launch spec of that engine alone, so that all that starts an engine reads it
    like any other.
    """

    def __init__(self, record: StateRecord) -> None:
        self._record = record

    @property
    def spec(self) -> LaunchSpec:
        """What was launched for completion."""
        spec = self._record.spec
        if spec.completion is None:
            raise ValueError("the deployment has no completion engine")
        own = spec.completion
        # The user fixed arguments of the first engine.
        return replace(spec, plan=own.plan, options=own.options, fixed=(), completion=None)

    @property
    def state(self) -> LiveState:
        """How it is now."""
        return self._record.completion

    def move(self, status: EngineState, **changes: Any) -> None:
        """Move it to another state. Raises ``ValueError`` for a move that there is not."""
        self._record.move_completion(status, **changes)

    def note(self, **changes: Any) -> None:
        """Change what is known of its current state."""
        self._record.note_completion(**changes)

    def replan(self, plan: Plan) -> None:
        """Use another plan from its next start on."""
        self._record.replan_completion(plan)

    def enter(self, phase: str, detail: str = "") -> None:
        """Begin a phase of its start, or refine the detail of the one that is under way."""
        self.note(phases=_entered(self.state.phases, phase, detail))


def _entered(phases: tuple[PhaseRecord, ...], phase: str, detail: str) -> tuple[PhaseRecord, ...]:
    if not phases or phases[-1].name != phase:
        return (*phases, PhaseRecord(phase, time.time(), detail))
    return (*phases[:-1], replace(phases[-1], detail=detail)) if detail else phases
