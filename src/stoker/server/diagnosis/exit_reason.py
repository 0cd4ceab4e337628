"""Why an engine ended: the root cause that its log shows, or else its alarming lines."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from stoker.errors import Problem
from stoker.server.diagnosis.log_diagnosis import Diagnosis

_ALARMING = ("error", "failed", "exception", "abort", "fatal", "out of memory")


def explain(
    engine: str, diagnosis: Diagnosis | None, lines: Sequence[str], exit_code: int | None
) -> Problem:
    """What ended the engine, for the user. ``lines`` are the last of its log."""
    what = f"The engine {engine} stopped."
    if diagnosis is not None:
        return Problem(what, f"{diagnosis.title}: {diagnosis.cause}", diagnosis.fix)
    alarming = [line for line in lines if _is_alarming(line)]
    killed = exit_code in (-signal.SIGKILL, 128 + signal.SIGKILL)  # it had no time to log why
    why = _quoted(alarming) if alarming and not killed else how_it_ended(exit_code)
    return Problem(what, why, "See its whole log: stoker logs.")


def _quoted(alarming: Sequence[str]) -> str:
    """The last alarming line, and the first where it is another: it is often the more exact one."""
    first, last = (line.strip().rstrip(".") for line in (alarming[0], alarming[-1]))
    more = f" The first of its errors: {first}." if first != last else ""
    return f"Its last error: {last}.{more}"


def _is_alarming(line: str) -> bool:
    return " INFO " not in line and any(word in line.lower() for word in _ALARMING)


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
