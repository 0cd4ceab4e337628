"""How the start of a deployment is shown: its phases, and a warning where it is exposed."""

from __future__ import annotations

import time
from itertools import pairwise

from stoker.cli.render import output
from stoker.network_addresses import is_loopback
from stoker.server import Deployment

#: A phase that takes minutes prints its progress this often.
_LINE_EVERY_S = 5.0


class Phases:
    """Print each phase when it ends, with how long it took; nothing where ``quiet``."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._shown = 0
        self._printed_at = 0.0

    def show(self, deployment: Deployment) -> None:
        """Print the phases that ended since the last call."""
        phases = deployment.state.phases
        for phase, following in list(pairwise(phases))[self._shown :]:
            took = output.duration(following.started_at - phase.started_at)
            if not self._quiet:
                output.say(f"  {phase.name:10} {took}")
            self._shown += 1
        self._show_progress(deployment)

    def _show_progress(self, deployment: Deployment) -> None:
        """The progress of the phase that is under way, now and then."""
        phases = deployment.state.phases
        detail = phases[-1].detail if phases else ""
        now = time.monotonic()
        if self._quiet or not detail or now - self._printed_at < _LINE_EVERY_S:
            return
        self._printed_at = now
        output.say(f"  {phases[-1].name:10} {detail}")


def warn_open(bind: str, *, insecure: bool) -> None:
    """Warn where other machines reach the gateway and may use it without a key."""
    if insecure and not is_loopback(bind):
        output.say(
            f"\nWarning: started with --insecure. Every machine that reaches {bind} may use the "
            "models and read what is served, unless keys exist (stoker keys list). What it sends "
            "and gets is not encrypted. To close it: stoker keys create OWNER."
        )
