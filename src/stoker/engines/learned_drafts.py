"""Models whose drafts cost more than they bring on this machine, for later plans.

The server notes them where it switches drafts off; ``application.choice`` has no drafts planned for
them then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import msgspec

from stoker.host import Host, lookup_gpu
from stoker.measured_file import MeasuredFile
from stoker.planning import Plan
from stoker.planning.draft_use import DraftUse
from stoker.planning.requirements import drafts_key


class LearnedDrafts(msgspec.Struct, frozen=True):
    """What was measured before they were switched off; an empty ``date`` is none of it."""

    gain: float = 0.0
    tokens_per_step: float = 0.0
    drafts_per_step: float = 0.0
    steps: int = 0
    date: str = ""
    #: ``stoker tune`` has measured that it is faster with them: that goes before a prediction.
    faster: bool = False

    @property
    def reason(self) -> str:
        """Why no drafts are planned, as a sentence."""
        return (
            f"Measured here on {self.date}: without drafts, which cost more than they bring "
            f"({self.tokens_per_step:.2f} tokens a step with {self.drafts_per_step:.1f} drafts, "
            f"{self.steps:,} steps: about {self.gain:.2f} x the speed without)."
        )


_FILE = MeasuredFile("measured-drafts.json", LearnedDrafts)


def remember(plan: Plan, host: Host, use: DraftUse) -> LearnedDrafts:
    """Keep that the drafts of a plan cost. What can't be written is not kept."""
    counts = use.shown
    entry = LearnedDrafts(
        round(use.gain or 0.0, 3),
        round(counts.tokens_per_step, 3),
        round(counts.drafts_per_step, 2),
        counts.steps,
        date.today().isoformat(),
    )
    _FILE.change(_machine(host), drafts_key(plan.engine, plan.model), lambda _: entry)
    return entry


def of(host: Host) -> Mapping[str, str]:
    """Why a model has no drafts on this machine, as ``Requirements.costly_drafts`` takes it."""
    entries = _FILE.read().get(_machine(host), {})
    return {key: entry.reason for key, entry in entries.items() if entry.date}


def allow(plan: Plan, host: Host) -> None:
    """Keep that ``stoker tune`` has measured drafts to be faster: they stay from now on."""
    key = drafts_key(plan.engine, plan.model)
    _FILE.change(_machine(host), key, lambda _: LearnedDrafts(faster=True))


def are_faster(plan: Plan, host: Host) -> bool:
    """Whether ``stoker tune`` has measured that the plan's model is faster with drafts."""
    entries = _FILE.read().get(_machine(host), {})
    return entries.get(drafts_key(plan.engine, plan.model), LearnedDrafts()).faster


def forget() -> bool:
    """Remove all of it. Whether there was any."""
    return _FILE.forget()


def _machine(host: Host) -> str:
    """Another processor, memory or kind of GPU is another machine."""
    first = host.gpus[0] if host.gpus else None
    known = first is not None and lookup_gpu(first.name, first.memory_total_bytes) is not None
    gpu = f"; {first.name}" if first is not None and known else ""
    memory = host.memory.total_bytes >> 30
    return f"{host.cpu.name} {host.cpu.cores}; {memory}{gpu}"
