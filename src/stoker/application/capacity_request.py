"""What is to be sized: who uses the models how, what they wait for at most, and on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stoker.errors import UsageError
from stoker.models import Purpose
from stoker.sizing import AGENT, CHAT, ArrivingRequest, Workload
from stoker.sizing.correction import Correction
from stoker.sizing.cost import CostTable, Terms, shipped_costs
from stoker.sizing.search import Targets

#: More people than any one company has developers: a slip of the keyboard.
_MOST_DEVELOPERS = 100_000
_MOST_GROWTH = 100.0
#: Points of SWE-bench Verified are per cent of its tasks.
_MOST_QUALITY = 100.0
#: Shorter than an agent's tools, and longer than any model's context.
_LEAST_CONTEXT, _MOST_CONTEXT = 2_048, 1_048_576


@dataclass(frozen=True, slots=True)
class GpuWish:
    """A kind of GPU to consider; ``count``: only servers with this many."""

    name: str
    count: int | None = None


@dataclass(frozen=True, slots=True)
class CapacityRequest:
    """All that an answer depends on. Raises ``UsageError`` for what can't be meant."""

    developers: int
    active_share: float = 0.3
    #: Shares of the active developers by kind of session; empty: the workload's own.
    mix: Mapping[str, float] = field(default_factory=dict)
    targets: Targets = field(default_factory=lambda: Targets(first_token_s=2.0, token_s=0.05))
    #: Size for this many times the developers.
    growth: float = 1.0
    #: Empty: every GPU that teams buy and that has a price.
    gpus: tuple[GpuWish, ...] = ()
    #: A model by name, or whatever is good enough.
    model: str | None = None
    #: The least quality of a model, in points of SWE-bench Verified; ``None``: near the best.
    quality: float | None = None
    context: int = 131_072
    terms: Terms = "bought"
    costs: CostTable = field(default_factory=shipped_costs)
    #: Recorded arrivals instead of the made-up ones.
    trace: Sequence[ArrivingRequest] = ()
    correction: Correction = field(default_factory=Correction)
    seed: int = 0

    def __post_init__(self) -> None:
        _within("--developers", self.developers, 1, _MOST_DEVELOPERS)
        _within("--growth", self.growth, 0.01, _MOST_GROWTH)
        _within("--developers times --growth", self.sized_developers, 1, _MOST_DEVELOPERS)
        _within("--context", self.context, _LEAST_CONTEXT, _MOST_CONTEXT)
        _within("--active", self.active_share, 0.001, 1)
        if self.quality is not None:
            _within("--quality", self.quality, 0, _MOST_QUALITY)
        _within("--spare", self.targets.spare_servers, 0, 10)
        for name, seconds in (("ttft", self.targets.first_token_s), ("tpot", self.targets.token_s)):
            _within(f"--slo {name}", seconds, 1e-4, 3600, " s")
        try:
            self.workload(self.developers)
        except ValueError as error:
            raise UsageError(
                "The workload can't be.",
                f"It has {error}.",
                "Shares are parts of 1: --mix agent=0.5,chat=0.2,completion=0.3 --active 0.3",
            ) from error

    @property
    def sized_developers(self) -> int:
        """Developers that the answer is sized for: with the growth."""
        return max(1, round(self.developers * self.growth))

    @property
    def purpose(self) -> Purpose:
        """What its models must be fit for."""
        mix = self.workload(self.developers).mix
        if mix.get(AGENT):
            return "agent"
        return "chat" if mix.get(CHAT) else "completion"

    def workload(self, developers: int, profile: tuple[float, ...] = (1.0,)) -> Workload:
        """How ``developers`` use the models: at the busiest time, or over a ``profile``."""
        plain = Workload(developers, self.active_share, profile=profile)
        return replace(plain, mix=dict(self.mix)) if self.mix else plain


def _within(name: str, value: float, least: float, most: float, unit: str = "") -> None:
    if not least <= value <= most:  # a number that is none is not within, either
        raise UsageError(
            f"{name} {value:,.10g}{unit} is out of range.",
            f"It must be between {least:g} and {most:,.10g}{unit}.",
            "Correct the number.",
        )
