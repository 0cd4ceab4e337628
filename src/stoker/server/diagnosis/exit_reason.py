"""Why an engine ended: the cause that its log shows, or else its exit code."""

from __future__ import annotations

import signal

from stoker.errors import Problem
from stoker.server.diagnosis.log_diagnosis import Diagnosis


def explain(engine: str, diagnosis: Diagnosis | None, exit_code: int | None) -> Problem:
    """What ended the engine, for the user."""
    what = f"The engine {engine} stopped."
    killed = exit_code in (-signal.SIGKILL, 128 + signal.SIGKILL)  # it had no time to log why
    if diagnosis is None or (killed and not diagnosis.in_catalogue):
        return Problem(what, how_it_ended(exit_code), "See its whole log: stoker logs.")
    return Problem(what, f"{diagnosis.title}: {diagnosis.cause}", diagnosis.fix)


def how_it_ended(exit_code: int | None) -> str:
    """What the exit code of a process, or of a container's first one, means."""
    number = _signal(exit_code)
    if number is not None:
        name = number.name
        if name == "SIGKILL":
            return "It was killed (SIGKILL): by a user, or by the system for lack of memory."
        return f"It was ended by the signal {name}."
    return f"It ended with exit code {exit_code} and logged no reason."


def _signal(exit_code: int | None) -> signal.Signals | None:
    """The signal that an exit code stands for: negative for a child, 128 more for a container."""
    if exit_code is None or 0 <= exit_code <= 128:
        return None
    try:
        return signal.Signals(-exit_code if exit_code < 0 else exit_code - 128)
    except ValueError:
        return None
