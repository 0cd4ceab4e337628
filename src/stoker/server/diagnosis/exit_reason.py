"""Say why an engine ended: the root cause that its log shows, or else its alarming lines."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from stoker.server.deployment_state import Problem
from stoker.server.diagnosis.log_diagnosis import Diagnosis

_ALARMING = ("error", "failed", "exception", "abort", "fatal", "out of memory")


def explain(
    engine: str, diagnosis: Diagnosis | None, lines: Sequence[str], exit_code: int | None
) -> Problem:
    """What ended the engine, for a person. ``lines`` are the last of its log."""
    what = f"The engine {engine} stopped."
    if diagnosis is not None:
        return Problem(what, f"{diagnosis.title}: {diagnosis.cause}", diagnosis.fix)
    said = [line for line in lines if _is_alarming(line)]
    killed = exit_code in (-signal.SIGKILL, 128 + signal.SIGKILL)  # then it had no last words
    why = _quoted(said) if said and not killed else how_it_ended(exit_code)
    return Problem(what, why, "See `stoker logs` for all that it said.")


def _quoted(said: Sequence[str]) -> str:
    """The last alarming line, and the first where it is another: it is often the more exact one."""
    first, last = (line.strip().rstrip(".") for line in (said[0], said[-1]))
    more = f" The first of its errors: {first}." if first != last else ""
    return f"Its log says: {last}.{more}"


def _is_alarming(line: str) -> bool:
    return " INFO " not in line and any(word in line.lower() for word in _ALARMING)


def how_it_ended(exit_code: int | None) -> str:
    """What the exit code of a process, or of a container's first one, tells."""
    number = _signal(exit_code)
    if number is not None:
        name = number.name
        if name == "SIGKILL":
            return "It was killed (SIGKILL): by a person, or by the system for want of memory."
        return f"It was ended by the signal {name}."
    return f"It ended with exit code {exit_code} and said nothing of why."


def _signal(exit_code: int | None) -> signal.Signals | None:
    """The signal that an exit code stands for: negative for a child, 128 more for a container."""
    if exit_code is None or 0 <= exit_code <= 128:
        return None
    try:
        return signal.Signals(-exit_code if exit_code < 0 else exit_code - 128)
    except ValueError:
        return None
