"""Say why an engine ended: the root cause that its log shows, or else its last alarming line."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from stoker.runtime.diagnose import Diagnosis
from stoker.runtime.state import Problem

_ALARMING = ("error", "failed", "exception", "abort", "fatal", "out of memory")


def explain(
    engine: str, diagnosis: Diagnosis | None, lines: Sequence[str], exit_code: int | None
) -> Problem:
    """What ended the engine, for a person. ``lines`` are the last of its log."""
    what = f"The engine {engine} stopped."
    if diagnosis is not None:
        return Problem(what, f"{diagnosis.title}: {diagnosis.cause}", diagnosis.fix)
    said = [line for line in lines if any(word in line.lower() for word in _ALARMING)]
    why = f"Its log says: {said[-1].strip()}." if said else _how_it_ended(exit_code)
    return Problem(what, why, "See `stoker logs` for all that it said.")


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        if name == "SIGKILL":
            return "It was killed (SIGKILL): by a person, or by the system for want of memory."
        return f"It was ended by the signal {name}."
    return f"It ended with exit code {exit_code} and said nothing of why."
