"""What ``stoker tune`` found on this machine, kept where plans read it.

An entry holds for one model on one engine on one machine, and for the values that it was measured
against: where a later Stoker plans other ones, it no longer applies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import msgspec

from stoker import paths
from stoker.errors import StokerError
from stoker.host import Host
from stoker.planning import Argument, Plan
from stoker.planning.serving_plan import Value
from stoker.private_files import write_private


@dataclass(frozen=True, slots=True)
class Tuned:
    """Better values of some arguments, and what was measured."""

    #: The arguments that it replaces, as they were planned; without one where none was.
    planned: Mapping[str, Value] = field(default_factory=dict)
    better: Mapping[str, Value] = field(default_factory=dict)
    #: How much faster it was.
    gain: float = 1.0
    measured: str = ""
    #: Trials that were measured and not better, with their gains, for the next run.
    rejected: Mapping[str, float | None] = field(default_factory=dict)


def read(plan: Plan, host: Host) -> Tuned:
    """What is known for a plan on a host; nothing where it was never tuned."""
    return _entries().get(_key(plan, host), Tuned())


def remember(plan: Plan, host: Host, tuned: Tuned) -> None:
    """Keep it in the place of what was known. Raises ``StokerError`` where it can't be written."""
    _write({**_entries(), _key(plan, host): tuned})


def require_writable() -> None:
    """Raise ``StokerError`` before a measurement that could not be kept."""
    _write(_entries())


def forget() -> bool:
    """Remove all of it, also what can't be read. Whether there was any.

    Raises ``StokerError`` where the file can't be removed.
    """
    try:
        empty = _file().read_bytes() == msgspec.json.encode({})
        _file().unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _not_written(error) from error
    return not empty


def found(known: Tuned, plan: Plan, better: Plan, gain: float) -> Tuned:
    """What is known from now on, where ``better`` was ``gain`` times faster than ``plan``."""
    changed = {a.name: a.value for a in better.arguments if plan.argument(a.name) != a.value}
    before = {name: value for name in changed if (value := plan.argument(name)) is not None}
    return replace(
        known,
        # What replaces an earlier finding has that one's place, and not its value, in the plan.
        planned={**before, **known.planned},
        better={**known.better, **changed},
        gain=known.gain * gain,
        measured=date.today().isoformat(),
    )


def applied(plans: Sequence[Plan], host: Host) -> tuple[Plan, ...]:
    """The plans with what was found for each of them on ``host``."""
    entries = _entries()
    if not entries:
        return tuple(plans)
    return tuple(_applied(plan, entries.get(_key(plan, host), Tuned())) for plan in plans)


def _applied(plan: Plan, tuned: Tuned) -> Plan:
    if not tuned.better or any(plan.argument(name) != v for name, v in tuned.planned.items()):
        return plan
    reason = (
        f"Measured here on {tuned.measured} (stoker tune): together {tuned.gain - 1:.0%} faster"
    )
    arguments = [
        Argument(name, value, f"{reason}; planned was {tuned.planned.get(name, 'nothing')}.")
        for name, value in tuned.better.items()
    ]
    return plan.with_arguments(arguments)


def _key(plan: Plan, host: Host) -> str:
    gpus = [gpu.name for gpu in host.gpus]
    parts = [plan.engine, plan.model.id, plan.model.quantization, host.cpu.name, host.cpu.cores]
    parts += [host.memory.total_bytes >> 30, *gpus, plan.max_model_len, plan.parallel]
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]
    return f"{plan.engine} {plan.model.served_name} {digest}"


def _entries() -> dict[str, Tuned]:
    try:
        return msgspec.json.decode(_file().read_bytes(), type=dict[str, Tuned])
    except (OSError, RecursionError, UnicodeDecodeError, msgspec.DecodeError):
        return {}


def _write(entries: Mapping[str, Tuned]) -> None:
    try:
        paths.config_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(_file(), msgspec.json.encode(entries))
    except OSError as error:
        raise _not_written(error) from error


def _not_written(error: OSError) -> StokerError:
    return StokerError(
        "What stoker tune finds can't be kept.",
        f"{_file()} can't be written: {error.strerror}.",
        f"Make {paths.config_dir()} writable for you.",
    )


def _file() -> Path:
    return paths.config_dir() / "tuned.json"
