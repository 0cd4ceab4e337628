"""How a launch is shown, and what Ctrl-C leaves."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from stoker.application import launch_events
from stoker.application.launch_events import LaunchEvent, LaunchEvents
from stoker.cli.render.launch_view import LaunchView
from stoker.errors import Problem
from stoker.models import DownloadProgress, Model
from stoker.planning import MemoryPrediction, Plan
from stoker.server import Deployment, LaunchSpec, LiveState, PhaseRecord

MODEL = Model("coder", "gguf", "hub", "coder", Path("/m.gguf"))
PLAN = Plan(MODEL, "llama.cpp", 8192, 1, (), MemoryPrediction(0, 0, 0, 0))
SPEC = LaunchSpec(PLAN, "127.0.0.1", 8000)
PHASES = (PhaseRecord("start", 1.0), PhaseRecord("load weights", 3.0), PhaseRecord("ready", 8.0))
READY = Deployment(SPEC, LiveState("ready", phases=PHASES))
EVENTS: tuple[LaunchEvent, ...] = (
    launch_events.DetectingHost(),
    launch_events.Downloading(DownloadProgress(5, 5, "the hub")),
    launch_events.SourceFailed(MODEL, Problem("The hub is down.", "No answer.")),
    launch_events.Starting(SPEC, last_start_s=7.0),
    launch_events.StateChanged(READY),
    launch_events.Ready(READY),
)


class Launch:
    """Made-up events, and whether their reader closed them before the end."""

    def __init__(self, *events: LaunchEvent) -> None:
        self.events = events
        self.abandoned = False

    def run(self) -> LaunchEvents:
        try:
            yield from self.events
        except GeneratorExit:
            self.abandoned = True
            raise


def shown(events: Generator[LaunchEvent, None, None], *, quiet: bool) -> None:
    with LaunchView(events, quiet=quiet) as view:
        for _ in view:
            pass


def test_each_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown(Launch(*EVENTS).run(), quiet=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Checking this machine"
    assert lines[1].startswith("  download (the hub)")
    assert lines[2] == "  No coder from the hub: The hub is down. No answer."
    assert lines[3] == "Starting coder on llama.cpp (last time it took 7.0 s)"
    assert lines[4].split() == ["start", "2.0", "s"]
    assert lines[5].split() == ["load", "weights", "5.0", "s"]
    assert lines[6].startswith("  ready      after ")


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown(Launch(*EVENTS).run(), quiet=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("keep", "message"),
    [(False, "nothing is left running"), (True, "continues in the background")],
)
@pytest.mark.parametrize("quiet", [False, True])
def test_ctrl_c_during_the_start_abandons_the_launch_and_reports_what_is_left(
    capsys: pytest.CaptureFixture[str], keep: bool, message: str, quiet: bool
) -> None:
    launch = Launch(*EVENTS)
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117  (the view sees it first)
        with LaunchView(launch.run(), quiet=quiet, keep=keep) as view:
            for event in view:
                if isinstance(event, launch_events.StateChanged):
                    raise KeyboardInterrupt
    assert launch.abandoned
    assert (message in capsys.readouterr().out) is not quiet


def test_ctrl_c_before_the_start_has_nothing_to_report(capsys: pytest.CaptureFixture[str]) -> None:
    launch = Launch(*EVENTS)
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with LaunchView(launch.run(), quiet=False) as view:
            for _ in view:
                raise KeyboardInterrupt
    assert launch.abandoned
    assert "left running" not in capsys.readouterr().out
