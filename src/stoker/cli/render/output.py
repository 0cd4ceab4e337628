"""Print results: lines for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import Any

from stoker.errors import StokerError

GIB = 1024**3
MIB = 1024**2


def say(text: str = "") -> None:
    """Print a line."""
    print(text, flush=True)


def warn(text: str) -> None:
    """Print a line that is not the result: on standard error, so that JSON stays JSON."""
    print(f"Warning: {text}", file=sys.stderr)


def progress(text: str) -> None:
    """Print a line on how far long work is: on standard error, for the same reason."""
    print(text, file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text in one line that can't move a terminal's cursor or colour what follows."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def as_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(value, indent=2, default=str))


def fail(error: StokerError, *, as_json: bool = False) -> None:
    """Print what happened, why, and what to do next: on standard error, or as JSON."""
    if as_json:
        problem = {"what": error.what, "why": error.why, "fix": error.fix}
        print(json.dumps({"error": problem}, indent=2))
        return
    print(f"Error: {error.what}", file=sys.stderr)
    if error.why:
        print(f"  Why: {error.why}", file=sys.stderr)
    if error.fix:
        print(f"  Fix: {error.fix}", file=sys.stderr)


def size(count: float | None) -> str:
    """Bytes for display: 1.5 GiB, 93 MiB."""
    if count is None:
        return "unknown"
    if count >= GIB:
        return f"{count / GIB:.1f} GiB"
    return f"{count / MIB:.0f} MiB"


def tokens(count: int) -> str:
    """A context window for display: 512, 32K, 1M."""
    if count < 1024:
        return str(count)
    return f"{count // 1024}K" if count < 1024 * 1024 else f"{count // (1024 * 1024)}M"


def duration(seconds: float) -> str:
    """Seconds for display: 0.8 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
