"""What drafts bring, in words and for programs."""

from __future__ import annotations

from stoker.planning.draft_use import COSTS_BELOW, DraftUse


def as_dict(use: DraftUse | None) -> dict[str, object] | None:
    """What programs may rely on; ``None`` where nothing is drafted, or not shown yet."""
    if use is None:
        return None
    counts, cost = use.shown, use.cost
    return {
        "steps": counts.steps,
        "drafted": counts.drafted,
        "accepted": counts.accepted,
        "tokens_per_step": round(counts.tokens_per_step, 3),
        "planned_tokens_per_step": round(cost.tokens_per_step, 3) if cost else None,
        "gain": round(use.gain, 3) if use.gain is not None else None,
        "wanted": use.wanted,
        "switched_off": use.switched_off,
    }


def words(use: DraftUse) -> str:
    """What they bring, as a line of ``stoker status``."""
    counts, gain = use.shown, use.gain
    accepted = counts.accepted / counts.steps
    line = f"{accepted:.1f} of {counts.drafts_per_step:.1f} accepted, "
    line += f"{counts.tokens_per_step:.1f} tokens a step"
    if use.cost is not None:
        line += f" where {use.cost.tokens_per_step:.1f} were planned"
    if gain is not None:
        line += f": about {gain:.1f} x the speed without"
    return f"{line}{_what_follows(use, gain)}"


def _what_follows(use: DraftUse, gain: float | None) -> str:
    if use.switched_off:
        return (
            ". They were switched off, here and in later plans on this machine. To plan them "
            "again: stoker tune --forget"
        )
    if gain is None or gain >= COSTS_BELOW:
        return ""
    if use.wanted:
        return (
            ". They seem to cost, and stay because you set them, or stoker tune measured that they "
            "are faster"
        )
    if use.slow is not None:
        return ". They cost: the engine is started again without them in the next pause"
    return ". They cost: if that goes on, they are switched off"
