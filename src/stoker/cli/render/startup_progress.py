"""Start a plan and show its phases: what ``up`` and ``restart`` have in common."""

from __future__ import annotations

import time
from itertools import pairwise

from stoker import server
from stoker.cli.render import output
from stoker.network_addresses import is_loopback
from stoker.planning import Plan
from stoker.server import Deployment, Run

#: A phase that takes minutes says this often how far it is.
_LINE_EVERY_S = 5.0


class Phases:
    """Print each phase when it ends, with how long it took; nothing where ``quiet``."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._shown = 0
        self._said_at = 0.0

    def show(self, deployment: Deployment) -> None:
        """Print the phases that ended since the last call."""
        phases = deployment.phases
        for phase, following in list(pairwise(phases))[self._shown :]:
            took = output.duration(following.started_at - phase.started_at)
            if not self._quiet:
                output.say(f"  {phase.name:10} {took}")
            self._shown += 1
        self._show_progress(deployment)

    def _show_progress(self, deployment: Deployment) -> None:
        """How far the phase is that is under way, now and then."""
        detail = deployment.phases[-1].detail if deployment.phases else ""
        now = time.monotonic()
        if self._quiet or not detail or now - self._said_at < _LINE_EVERY_S:
            return
        self._said_at = now
        output.say(f"  {deployment.phases[-1].name:10} {detail}")


def background(plan: Plan, run: Run, *, quiet: bool = False, keep: bool = False) -> Deployment:
    """Start ``plan`` and return when it is ready. Raises the engine's explained error.

    Ctrl-C stops what was started, or leaves it starting where ``keep``.
    """
    if not quiet:
        output.say(f"Starting {plan.model.id} on {plan.engine}{_last_time(run.of(plan))}")
    started = server.start(plan, run)
    try:
        return until_ready(started, quiet=quiet)
    except KeyboardInterrupt:
        if keep:
            output.say("\nIt goes on starting: stoker status shows how far it is.")
        else:
            server.stop()
            output.say("\nStopped; nothing is left running.")
        raise


def _last_time(wanted: Deployment) -> str:
    seconds = server.last_start_s(wanted)
    return "" if seconds is None else f" (last time it took {output.duration(seconds)})"


def until_ready(deployment: Deployment, *, quiet: bool = False) -> Deployment:
    """Show the phases of a deployment that starts, and return when it is ready."""
    began = time.time()
    phases = Phases(quiet)
    latest = deployment
    for state in server.follow(deployment):
        phases.show(state)
        latest = state
    if latest.problem is not None and latest.status == "failed":
        server.stop()
        raise latest.problem.error()
    if not quiet:
        output.say(f"  ready      after {output.duration(time.time() - began)}")
    return latest


def warn_open(bind: str) -> None:
    """Say so where other machines reach the gateway, which asks for no key."""
    if not is_loopback(bind):
        output.say(
            f"\nNote: {bind} is open to other machines, and no key is asked for. "
            "Use it only on a network that you trust."
        )
