"""How a launch is shown: a line for each step, and how long each phase of the start took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import singledispatchmethod
from itertools import pairwise
from types import TracebackType

from stoker.application.launch_events import (
    AlreadyRunning,
    AnswerText,
    Chosen,
    DetectingHost,
    Downloading,
    LaunchEvent,
    LaunchEvents,
    Placing,
    Ready,
    SourceFailed,
    Starting,
    StateChanged,
    Verifying,
)
from stoker.cli.render import choice_view, output
from stoker.cli.render.progress import Download
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


class LaunchView:
    """Iterate it to run a launch: each event is printed, unless ``quiet``, and handed on.

    A context manager: leaving it early declines the rest of the launch. Ctrl-C then stops what
    was started, or leaves it starting where ``keep``.
    """

    def __init__(self, events: LaunchEvents, *, quiet: bool, keep: bool = False) -> None:
        self._events = events
        self._quiet = quiet
        self._keep = keep
        self._phases = Phases(quiet)
        self._download: Download | None = None
        #: When the start began, while it is under way.
        self._began_at: float | None = None

    def __enter__(self) -> LaunchView:
        return self

    def __iter__(self) -> Iterator[LaunchEvent]:
        for event in self._events:
            if not isinstance(event, Downloading):
                self._end_download()
            if not self._quiet:
                self._show(event)
            yield event

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._end_download()
        self._events.close()
        if kind is KeyboardInterrupt and self._began_at is not None:
            output.say(
                "\nThe start goes on in the background: stoker status shows its progress."
                if self._keep
                else "\nStopped; nothing is left running."
            )

    @singledispatchmethod
    def _show(self, event: LaunchEvent) -> None:
        """Nothing to print."""

    @_show.register
    def _(self, event: AlreadyRunning) -> None:
        output.say("Already running.")

    @_show.register
    def _(self, event: DetectingHost) -> None:
        output.say("Checking this machine")

    @_show.register
    def _(self, event: Chosen) -> None:
        for line in (*event.choice.plan.reasons, *choice_view.notes(event.choice)):
            output.say(f"  {line}")

    @_show.register
    def _(self, event: Placing) -> None:
        output.say(event.action)

    @_show.register
    def _(self, event: Downloading) -> None:
        if self._download is None:
            self._download = Download(self._quiet)
        self._download.show(event.progress)

    @_show.register
    def _(self, event: SourceFailed) -> None:
        model, problem = event.model, event.problem
        output.say(f"  No {model.id} from the {model.origin}: {problem.what} {problem.why}")

    @_show.register
    def _(self, event: Starting) -> None:
        self._began_at = time.time()
        plan, last = event.spec.plan, event.last_start_s
        before = "" if last is None else f" (last time it took {output.duration(last)})"
        output.say(f"Starting {plan.model.id} on {plan.engine}{before}")

    @_show.register
    def _(self, event: StateChanged) -> None:
        if self._began_at is not None:
            self._phases.show(event.deployment)

    @_show.register
    def _(self, event: Ready) -> None:
        if self._began_at is not None:
            output.say(f"  ready      after {output.duration(time.time() - self._began_at)}")
        self._began_at = None

    @_show.register
    def _(self, event: Verifying) -> None:
        output.say(f"\nAsking it: {event.question}\n")

    @_show.register
    def _(self, event: AnswerText) -> None:
        print(event.text, end="", flush=True)

    def _end_download(self) -> None:
        if self._download is not None:
            self._download.close()
        self._download = None


def warn_open(bind: str) -> None:
    """Warn where other machines reach the gateway, which asks for no key."""
    if not is_loopback(bind):
        output.say(
            f"\nNote: other machines can reach {bind}, and no key is required. "
            "Use it only on a network that you trust."
        )
