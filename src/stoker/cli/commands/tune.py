"""``stoker tune``: measure other arguments of the engine, and keep what is faster."""

from __future__ import annotations

import signal
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Annotated

import typer

from stoker.application import launch, measured_memory, measured_speed, tuned_arguments, tuning
from stoker.application.trial_search import Judged, Measuring
from stoker.application.tuning import Stopped, TuningEnd, TuningEvent
from stoker.cli.options import Json
from stoker.cli.render import output
from stoker.cli.render.launch_view import LaunchView
from stoker.engines import learned_drafts
from stoker.planning.serving_plan import Value
from stoker.server import LaunchSpec


def command(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to measure.")] = 10.0,
    again: Annotated[
        bool, typer.Option("--again", help="Measure again what was no better before.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget what was found here, and measure nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Try other arguments of the running engine on this machine, and keep what is faster.

    The model is stopped meanwhile, and started again at the end.
    """
    if forget:
        _forget(json=json)
        return
    judged: list[Judged] = []
    end, stopped = None, None
    _end_as_with_ctrl_c()
    try:
        with closing(tuning.tune(60 * minutes, again=again)) as events:
            for event in _shown(events, quiet=json):
                stopped = event.spec if isinstance(event, Stopped) else stopped
                end = event if isinstance(event, TuningEnd) else end
                judged += [event] if isinstance(event, Judged) else []
    except KeyboardInterrupt:
        if not json:
            output.say("\nStopped. What was judged is kept: stoker tune goes on from there.")
    finally:
        if stopped is not None:
            _start_again(end.spec if end else stopped, quiet=json)
    if json:
        output.as_json(_document(end, judged))


def _end_as_with_ctrl_c() -> None:
    """A closed terminal, or an order to end, starts the model again, too."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _forget(*, json: bool) -> None:
    there = tuned_arguments.forget() | measured_speed.forget() | measured_memory.forget()
    there |= learned_drafts.forget()
    if json:
        output.as_json({"forgotten": there})
        return
    output.say(
        "Forgotten. The next stoker up starts what is planned." if there else "Nothing was found."
    )


def _shown(
    events: Generator[TuningEvent, None, None], *, quiet: bool
) -> Generator[TuningEvent, None, None]:
    for event in events:
        line = _line(event)
        if line and not quiet:
            output.say(line)
        yield event


def _line(event: TuningEvent) -> str:
    if isinstance(event, Stopped):
        return f"{event.spec.plan.model.id} is stopped while its engine is measured."
    if isinstance(event, Measuring):
        return f"  {event.number} of {event.of}: {event.trial.name}"
    if isinstance(event, Judged):
        return f"      {_judgement(event)}"
    return _result(event)


def _judgement(judged: Judged) -> str:
    if judged.gain is None:
        return f"does not start: {judged.problem}"
    change = judged.gain - 1
    what = f"{abs(change):.0%} {'faster' if change > 0 else 'slower'}"
    if judged.kept:
        return f"{what}: kept"
    return f"{what}: too little to be sure of" if change > 0 else what


def _result(end: TuningEnd) -> str:
    found = end.found
    rest = " The time was up before all was measured: run it again." * found.is_partial
    if found.plan is end.before:
        return f"Nothing is faster than what runs.{rest}"
    names = ", ".join(f"{name} = {value}" for name, value in _changed(end).items())
    return f"{found.gain - 1:.0%} faster with {names}. stoker up uses it from now on.{rest}"


def _start_again(spec: LaunchSpec, *, quiet: bool) -> None:
    with LaunchView(launch.start_again(spec), quiet=quiet) as view:
        for _ in view:
            pass


def _document(end: TuningEnd | None, judged: Sequence[Judged]) -> dict[str, object]:
    """``end`` is ``None`` where it was stopped."""
    return {
        "gain": round(end.found.gain, 3) if end else 1.0,
        "arguments": _changed(end) if end else {},
        "is_partial": end is None or end.found.is_partial,
        "trials": [
            {
                "trial": each.trial.name,
                "gain": each.gain and round(each.gain, 3),
                "kept": each.kept,
                "problem": each.problem or None,
            }
            for each in judged
        ],
    }


def _changed(end: TuningEnd) -> dict[str, Value]:
    arguments = end.found.plan.arguments
    return {a.name: a.value for a in arguments if end.before.argument(a.name) != a.value}
