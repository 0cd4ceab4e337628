"""The way to the answer in three phases, each with when to begin it and when to leave it."""

from __future__ import annotations

from dataclasses import dataclass

from stoker.application.capacity import CapacityReport
from stoker.sizing.search import Sized

#: People who try it on their own machines first, and on how many days of a week they have to come
#: back for it to count as used.
_PILOT, _DAYS = 5, 3
#: The share of a target from which on it is time for more: what comes next takes weeks to buy.
_SOON = 0.8
_ACCEPTED = "The pilots accept its model's answers in their own code."


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase. ``usd_per_month`` is ``None`` where nothing is bought."""

    name: str
    developers: int
    what: str
    usd_per_month: float | None
    entry: str
    exit: str


def phases(report: CapacityReport) -> tuple[Phase, ...]:
    """Laptops, a team's server, replicas; without the middle one where it would serve all."""
    found = [_laptops(report)]
    grows = report.team_developers < report.request.sized_developers
    if report.team is not None and grows:
        found.append(_team(report, report.team))
    return (*found, _replicas(report, after_team=len(found) > 1))


def _laptops(report: CapacityReport) -> Phase:
    plan = report.laptop
    runs = "what fits them"
    if plan is not None:
        speed = f" at {plan.decode_tokens_per_s:.0f} tokens/s" if plan.decode_tokens_per_s else ""
        runs = f"{plan.model.served_name} on an RTX 4060 laptop{speed}"
    return Phase(
        "Own machines",
        min(_PILOT, report.request.developers),
        f"stoker up on each: {runs}",
        None,
        "At once: nothing to buy.",
        f"The pilots use it on {_DAYS} days of a week (stoker usage) and ask for a better model.",
    )


def _team(report: CapacityReport, team: Sized) -> Phase:
    targets = report.request.targets
    return Phase(
        "Team server",
        report.team_developers,
        f"{servers(team)}, no spare",
        team.usd_per_month,
        _ACCEPTED,
        f"More than {report.team_developers} developers; or the busiest hour's 95th percentile "
        f"is above {_SOON * targets.first_token_s:.2g} s to the first token for a week; or an "
        "outage stops people's work.",
    )


def _replicas(report: CapacityReport, *, after_team: bool) -> Phase:
    breaking = report.breaking
    limit = "when " if breaking.missed is None else f"at {breaking.kept:,} developers, or when "
    share = f"{100 * _SOON:.0f} %"
    return Phase(
        "Replicas" if after_team else "Team server",
        report.request.sized_developers,
        servers(report.best),
        report.cost.total_usd,
        "The team server's exit, and a budget for the hardware." if after_team else _ACCEPTED,
        f"Add a server {limit}the busiest hour's 95th percentile reaches {share} of a target for "
        "a week.",
    )


def servers(sized: Sized) -> str:
    """``3 servers with 4 x L40S 48GB: 6 copies of qwen3.8-27b (fp8), each on 2 GPUs``."""
    option, model = sized.option, sized.option.plan.model
    count = f"{sized.servers} server{'s' if sized.servers > 1 else ''}"
    copies = f"{sized.replicas} copies" if sized.replicas > 1 else "one copy"
    on = "one GPU" if option.plan.gpus == 1 else f"{option.plan.gpus} GPUs"
    each = ", each" if sized.replicas > 1 else ""
    return (
        f"{count} with {option.server.label}: {copies} of {model.served_name} "
        f"({model.quantization}){each} on {on}"
    )
