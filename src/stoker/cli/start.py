"""Start a plan and show its phases: what ``up`` and ``restart`` have in common."""

from __future__ import annotations

import time
from itertools import pairwise

from stoker import runtime
from stoker.cli import output
from stoker.planning import Plan
from stoker.runtime import Deployment


class Phases:
    """Print each phase when it ends, with how long it took; nothing where ``quiet``."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._shown = 0

    def show(self, deployment: Deployment) -> None:
        """Print the phases that ended since the last call."""
        phases = deployment.phases
        for phase, following in list(pairwise(phases))[self._shown :]:
            took = output.duration(following.started_at - phase.started_at)
            if not self._quiet:
                output.say(f"  {phase.name:10} {took}")
            self._shown += 1


def background(
    plan: Plan, bind: str, port: int, *, replace: bool = False, quiet: bool = False
) -> Deployment:
    """Start ``plan`` and return when it is ready. Raises the engine's explained error."""
    began = time.time()
    started = runtime.start(plan, bind=bind, port=port, replace=replace)
    if started.status == "ready":
        if not quiet:
            output.say(f"Already running: {plan.model.id} on {started.endpoint}.")
        return started
    if not quiet:
        output.say(f"Starting {plan.model.id} on {plan.engine}")
    phases = Phases(quiet)
    deployment = started
    for state in runtime.follow(started):
        phases.show(state)
        deployment = state
    if deployment.problem is not None:
        runtime.stop()
        raise deployment.problem.error()
    if not quiet:
        output.say(f"  ready      after {output.duration(time.time() - began)}")
    return deployment
