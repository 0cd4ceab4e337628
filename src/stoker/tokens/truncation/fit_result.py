"""The result of fitting: the request to send, and a record of what was cut from it."""

from __future__ import annotations

from dataclasses import dataclass, field

from stoker.tokens.counting.token_counting import Request
from stoker.tokens.truncation.tool_schema_compression import LEVELS


@dataclass(frozen=True, slots=True)
class Cuts:
    """What was cut: names and counts, never content."""

    schemas: str = LEVELS[0]
    tools_kept: int = 0
    tools_dropped: tuple[str, ...] = ()
    results_shortened: int = 0
    messages_dropped: int = 0
    system_chars_cut: int = 0
    #: How many tools are named behind the newest question.
    tools_named: int = 0

    @property
    def any(self) -> bool:
        """Whether anything was cut at all."""
        is_less = self.results_shortened or self.messages_dropped or self.system_chars_cut
        return bool(is_less or self.tools_dropped) or self.schemas != LEVELS[0]

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of what was done."""
        done = {
            "tools": self.tools_dropped,
            "results": self.results_shortened,
            "messages": self.messages_dropped,
            "system": self.system_chars_cut,
            "schemas": self.schemas != LEVELS[0],
        }
        return tuple(step for step, happened in done.items() if happened)


@dataclass(frozen=True, slots=True)
class Fit:
    """A request that fits its budget, and what was cut to make it fit."""

    request: Request
    #: ``None`` where the request certainly fits, so that nothing was counted.
    prompt_tokens: int | None
    #: The ``max_tokens`` to send; already set in ``request``.
    max_tokens: int | None
    cuts: Cuts = field(default_factory=Cuts)
    #: By how many tokens the prompt is shorter, as counted.
    cut_tokens: int = 0

    def header(self) -> str:
        """Return the record for the response header ``x-stoker-fit``."""
        cuts = self.cuts
        if not cuts.any:
            return "none"
        total = cuts.tools_kept + len(cuts.tools_dropped)
        parts = [
            f"schemas={cuts.schemas.replace(' ', '-')}" if cuts.schemas != LEVELS[0] else "",
            f"tools={total}>{cuts.tools_kept}" if cuts.tools_dropped else "",
            f"named={cuts.tools_named}" if cuts.tools_named else "",
            f"results={cuts.results_shortened}" if cuts.results_shortened else "",
            f"messages=-{cuts.messages_dropped}" if cuts.messages_dropped else "",
            f"system=-{cuts.system_chars_cut}ch" if cuts.system_chars_cut else "",
            f"tokens={self.prompt_tokens}",
        ]
        return "; ".join(part for part in parts if part)
