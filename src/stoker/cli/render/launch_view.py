"""How a launch is shown: a line for each event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import singledispatchmethod
from types import TracebackType

from stoker.application import launch_events
from stoker.cli.render import choice_view, output
from stoker.cli.render.progress import Download
from stoker.cli.render.startup_progress import Phases


class LaunchView:
    """Iterate it to run a launch: each event is printed, unless ``quiet``, and handed on.

    A context manager: leaving it early declines the rest of the launch. Ctrl-C then stops what
    was started, or leaves it starting where ``keep``.
    """

    def __init__(
        self, events: launch_events.LaunchEvents, *, quiet: bool, keep: bool = False
    ) -> None:
        self._events = events
        self._quiet = quiet
        self._keep = keep
        self._phases = Phases(quiet)
        self._download: Download | None = None
        #: When the start began, while it is under way.
        self._began_at: float | None = None

    def __enter__(self) -> LaunchView:
        return self

    def __iter__(self) -> Iterator[launch_events.LaunchEvent]:
        for event in self._events:
            if not isinstance(event, launch_events.Downloading):
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
                "\nThe start continues in the background: stoker status shows its progress."
                if self._keep
                else "\nStopped; nothing is left running."
            )

    @singledispatchmethod
    def _show(self, event: launch_events.LaunchEvent) -> None:
        """Nothing to print."""

    @_show.register
    def _(self, event: launch_events.AlreadyRunning) -> None:
        output.say("Already running.")

    @_show.register
    def _(self, event: launch_events.DetectingHost) -> None:
        output.say("Checking this machine")

    @_show.register
    def _(self, event: launch_events.Chosen) -> None:
        for line in (*event.choice.plan.reasons, *choice_view.notes(event.choice)):
            output.say(f"  {line}")

    @_show.register
    def _(self, event: launch_events.Placing) -> None:
        output.say(event.action)

    @_show.register
    def _(self, event: launch_events.Downloading) -> None:
        if self._download is None:
            self._download = Download(self._quiet)
        self._download.show(event.progress)

    @_show.register
    def _(self, event: launch_events.SourceFailed) -> None:
        model, problem = event.model, event.problem
        output.say(f"  No {model.id} from the {model.origin}: {problem.what} {problem.why}")

    @_show.register
    def _(self, event: launch_events.Starting) -> None:
        self._began_at = time.time()
        plan, last = event.spec.plan, event.last_start_s
        before = "" if last is None else f" (last time it took {output.duration(last)})"
        output.say(f"Starting {plan.model.id} on {plan.engine}{before}")

    @_show.register
    def _(self, event: launch_events.StateChanged) -> None:
        if self._began_at is not None:
            self._phases.show(event.deployment)

    @_show.register
    def _(self, event: launch_events.Ready) -> None:
        if self._began_at is not None:
            output.say(f"  ready      after {output.duration(time.time() - self._began_at)}")
        self._began_at = None

    @_show.register
    def _(self, event: launch_events.Verifying) -> None:
        output.say(f"\nAsking it: {event.question}\n")

    @_show.register
    def _(self, event: launch_events.AnswerText) -> None:
        print(event.text, end="", flush=True)

    def _end_download(self) -> None:
        if self._download is not None:
            self._download.close()
        self._download = None
