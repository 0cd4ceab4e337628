"""The answer of ``stoker size`` as lines, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from stoker.application.capacity import CapacityReport
from stoker.application.capacity_phases import phases, servers
from stoker.sizing.cost import MonthlyCost, why_not_priced
from stoker.sizing.estimates import Estimate
from stoker.sizing.search import Measured, Option, Sized

_WIDTH = 80
_COLUMN = 14

CAUSES = {
    "cache": "conversations fall out of the KV cache while developers think, and are read again",
    "queue": "more requests come at once than fit into a server, and the others queue",
    "compute": "the GPUs are at work all the time",
    "batch": "each step takes longer, as more answers are written at the same time",
}
TARGETS = {"first_token": "the first token", "token": "the time per token"}


def lines(report: CapacityReport) -> Iterator[str]:
    """The answer for a terminal of 80 columns: the recommendation first."""
    yield from textwrap.wrap(question(report), _WIDTH)
    yield ""
    yield from _block("Recommended", servers(report.best))
    yield from _block("Cost", cost(report))
    yield from _block("Cloud API", against_api(report))
    yield from _block("Keeps", keeps(report))
    yield from _block("Runner-up", runner_up(report))
    if report.better is not None:
        yield from _block("Better model", better(report, report.better))
    yield from _block("Breaks first", breaks_first(report))
    yield from _block("How sure", how_sure(report))
    for note in notes(report):
        yield from _block("Note", note)
    yield ""
    for number, phase in enumerate(phases(report), start=1):
        price = "" if phase.usd_per_month is None else f", ${phase.usd_per_month:,.0f} a month"
        yield f"Phase {number}: {phase.name}, {crowd(phase.developers)}{price}"
        yield from _block("  What", phase.what)
        yield from _block("  Begin", phase.entry)
        yield from _block("  Leave", phase.exit)


def _block(name: str, text: str) -> Iterator[str]:
    wrapped = textwrap.wrap(text, _WIDTH - _COLUMN)
    for number, line in enumerate(wrapped):
        yield f"{name if number == 0 else '':{_COLUMN}}{line}"


# --- sentences, shared with the page -------------------------------------------------------------


def question(report: CapacityReport) -> str:
    """Whom and what it was sized for."""
    request = report.request
    grown = f" (today {request.developers:,})" if request.growth != 1 else ""
    people = crowd(request.sized_developers)
    if request.trace:
        return f"{people}{grown}, as recorded in the trace"
    load = request.workload(request.sized_developers)
    mix = ", ".join(f"{kind} {100 * share:.0f} %" for kind, share in load.mix.items() if share)
    return (
        f"{people}{grown}, {load.seats:,} of them at work with a model at the busiest time: {mix}"
    )


def crowd(developers: int) -> str:
    """``200 developers``."""
    return f"{developers:,} developer{'s' if developers != 1 else ''}"


def cost(report: CapacityReport) -> str:
    """What it costs a month, in all and for each developer."""
    found = report.cost
    text = f"${found.total_usd:,.0f} a month {_terms(report, found)}"
    text += f", ${report.usd_per_developer:,.2f} for each developer; "
    if found.terms == "bought":
        racks = f" and ${found.rack_usd:,.0f} for racks" if found.rack_usd else ""
        text += (
            f"${found.capital_usd:,.0f} at the beginning, ${found.electricity_usd:,.0f} a month "
            f"for {found.energy_kwh or 0:,.0f} kWh{racks}."
        )
    else:
        text += "energy included."
    other = report.other_cost
    if other is not None:
        text += f" {other.terms.capitalize()}: ${other.total_usd:,.0f} a month."
    return text


def _terms(report: CapacityReport, found: MonthlyCost) -> str:
    if found.terms == "rented":
        return "rented on demand"
    return f"over {report.request.costs.months.value:.0f} months"


def against_api(report: CapacityReport) -> str:
    """The same tokens from a cloud API."""
    api = report.request.costs.apis[0]
    own, theirs = report.usd_per_million_tokens, report.api_usd_per_million_tokens
    volume = report.volume
    return (
        f"${report.api_usd_per_month:,.0f} a month for the same tokens from {api.name} "
        f"({api.date}): ${theirs:.2f} for a million, here ${own:.2f}. A month has "
        f"{volume.total / 1e9:,.1f} G tokens, {100 * volume.cached / max(1.0, volume.total):.0f} % "
        "of them cached."
    )


def keeps(report: CapacityReport) -> str:
    """What the targets are and what is predicted, with the spare servers gone and at work."""
    best, targets = report.best, report.request.targets
    spare = targets.spare_servers
    text = (
        f"95 of 100 first tokens within {seconds(best.measured.first_token_s)} (target "
        f"{targets.first_token_s:g} s), {milliseconds(best.measured.token_s)} a token (target "
        f"{1000 * targets.token_s:g} ms)"
    )
    if not spare:
        return f"{text}. No server may fail: there is no spare one."
    return (
        f"{text}, also with {spare} server{'s' if spare > 1 else ''} down. With all at work: "
        f"{report.normal.first_token_s.value:.2f} s and "
        f"{1000 * report.normal.token_s.value:.0f} ms."
    )


def runner_up(report: CapacityReport) -> str:
    """The second best, and why it lost."""
    second, best = report.search.runner_up, report.best
    if second is None:
        return "None: nothing else that was compared keeps the targets."
    return f"{servers(second)}. {why_it_lost(best, second)}"


def why_it_lost(best: Sized, second: Sized) -> str:
    """One sentence: what it costs more, and for what."""
    more = second.usd_per_month - best.usd_per_month
    share = more / best.usd_per_month
    points = second.option.plan.score - best.option.plan.score
    size = f"{abs(points):.0f} point{'s' if round(abs(points)) != 1 else ''}"
    quality = f"a model of {size} {'more' if points > 0 else 'less'}"
    if abs(points) < 1:
        quality = "a model that is as good"
    if more < 1:
        return f"It costs the same, for {quality}."
    return f"It costs ${more:,.0f} a month more ({100 * share:+.0f} %), for {quality}."


def better(report: CapacityReport, sized: Sized) -> str:
    """What a clearly better model costs."""
    points = sized.option.plan.score, report.best.option.plan.score
    times = sized.usd_per_month / report.best.usd_per_month
    return (
        f"{servers(sized)}, for ${sized.usd_per_month:,.0f} a month ({times:.1f} times): "
        f"{points[0]:.0f} points of SWE-bench Verified instead of {points[1]:.0f} (estimates)."
    )


def breaks_first(report: CapacityReport) -> str:
    """What fails as more developers come."""
    found = report.breaking
    if found.missed is None:
        return f"Nothing up to {found.kept:,} developers, the most that was simulated."
    return (
        f"{TARGETS[found.target].capitalize()}, at about {found.missed:,} developers: "
        f"{CAUSES[found.cause]}."
    )


def how_sure(report: CapacityReport) -> str:
    """The range of the planner's error, in servers, and where it comes from."""
    best, found = report.best, report.sureness
    corrected = report.request.correction
    source = "its error on servers that the fit has not seen"
    if not corrected.none:
        source = (
            f"corrected as measured: x {corrected.arrival:.2f} until a prompt is scheduled, "
            f"x {corrected.prefill:.2f} to read it, x {corrected.decode:.2f} for a token"
        )
    slow = "no number of servers is enough" if found.slow is None else f"it takes {found.slow}"
    fast = "" if found.fast is None else f", at its fast end {found.fast}"
    count = f"{best.servers} server{'s' if best.servers > 1 else ''}"
    return (
        f"{count} at the speed that the planner expects ({source}). At the slow "
        f"end of its range, in which four of five measured servers lie, {slow}{fast}. "
        f"{report.search.options:,} ways to serve were compared, {report.search.simulated:,} of "
        "them simulated; the others can't be cheaper."
    )


def notes(report: CapacityReport) -> list[str]:
    """What else to know before anything is bought."""
    found = []
    unpriced = {option.server.label: option for option in report.search.unpriced}
    if unpriced:
        request = report.request
        named = ", ".join(
            f"{label} ({why_not_priced(option.server, request.terms, request.costs)})"
            for label, option in list(unpriced.items())[:4]
        )
        more = f" and {len(unpriced) - 4} more" if len(unpriced) > 4 else ""
        found.append(f"Left out for lack of a price: {named}{more}.")
        found += _rents(report)
    if report.day.refused:
        length = report.best.option.plan.max_model_len
        found.append(
            f"{report.day.refused:,} requests of a day are longer than the context of {length:,} "
            "tokens: they would be refused, and count nowhere here."
        )
    price = report.request.costs.price_of(report.best.option.server.gpu)
    if report.cost.terms == "bought" and price is not None:
        found.append(f"The GPU's price of ${price.value:,.0f} is from {price.date}: {price.source}")
    return found


def _rents(report: CapacityReport) -> list[str]:
    """GPUs that can't be bought in every number, and are rented one by one."""
    costs = report.request.costs
    gpus = {option.server.gpu.label: option.server.gpu for option in report.search.unpriced}
    found = []
    for label, gpu in gpus.items():
        rent = costs.rent_of(gpu) if report.request.terms == "bought" else None
        if rent is not None:
            month = rent.value * costs.hours_per_month.value
            found.append(
                f"One {label} is rented for ${month:,.0f} a month (${rent.value:g} an hour, "
                f"{rent.date}, {rent.source}): --rented compares servers of any number of them."
            )
    return found


def seconds(estimate: Estimate) -> str:
    """``0.74 s (0.70 to 0.78)``."""
    if estimate.high == float("inf"):
        return f"{estimate.value:.2f} s"
    return f"{estimate.value:.2f} s ({estimate.low:.2f} to {estimate.high:.2f})"


def milliseconds(estimate: Estimate) -> str:
    """``43 ms (40 to 46)``."""
    value, low, high = (1000 * v for v in (estimate.value, estimate.low, estimate.high))
    return (
        f"{value:.0f} ms" if high == float("inf") else f"{value:.0f} ms ({low:.0f} to {high:.0f})"
    )


# --- for programs --------------------------------------------------------------------------------


def document(report: CapacityReport) -> dict[str, Any]:
    """The answer as JSON: times in seconds, money in US dollars a month."""
    request = report.request
    load = request.workload(request.sized_developers)
    return {
        "developers": request.developers,
        "growth": request.growth,
        "sized_for": request.sized_developers,
        "active_at_busiest_time": load.seats,
        "mix": dict(load.mix),
        "trace_requests": len(request.trace),
        "targets": asdict(request.targets),
        "terms": request.terms,
        "quality_points_at_least": report.options.quality,
        "recommendation": {**_sized(report.best), "normal": _figures(report.normal)},
        "runner_up": _optional(report.search.runner_up),
        "better_model": _optional(report.better),
        "cost": {
            **asdict(report.cost),
            "total_usd": report.cost.total_usd,
            "usd_per_developer": report.usd_per_developer,
            "usd_per_million_tokens": report.usd_per_million_tokens,
        },
        "other_terms": None if report.other_cost is None else asdict(report.other_cost),
        "cloud_api": {
            "name": request.costs.apis[0].name,
            "date": request.costs.apis[0].date,
            "usd_per_month": report.api_usd_per_month,
            "usd_per_million_tokens": report.api_usd_per_million_tokens,
        },
        "tokens_per_month": asdict(report.volume),
        "by_kind": {
            kind: {"first_token_p95_s": first, "token_p95_s": token}
            for kind, (first, token) in report.kinds.items()
        },
        "breaks_first": asdict(report.breaking),
        "servers_if_planner_is_off": asdict(report.sureness),
        "phases": [asdict(phase) for phase in phases(report)],
        "load": [
            {
                "developers": point.developers,
                **_figures(point.measured),
                "cached_share": point.cached_share,
            }
            for point in report.loads
        ],
        "developers_to_cost": [asdict(point) for point in report.crowds],
        "day": [asdict(part) for part in report.day.slices],
        "compared": {"options": report.search.options, "simulated": report.search.simulated},
    }


def _optional(sized: Sized | None) -> dict[str, Any] | None:
    return None if sized is None else _sized(sized)


def _sized(sized: Sized) -> dict[str, Any]:
    return {
        **_named(sized.option),
        "servers": sized.servers,
        "servers_needed": sized.needed,
        "replicas": sized.replicas,
        "usd_per_month": sized.usd_per_month,
        **_figures(sized.measured),
    }


def _named(option: Option) -> dict[str, Any]:
    plan = option.plan
    return {
        "gpu": option.server.gpu.label,
        "gpus_per_server": option.server.gpus,
        "model": plan.model.id,
        "quantization": plan.model.quantization,
        "quality_points": plan.score,
        "engine": plan.engine,
        "tensor_parallel": plan.gpus,
        "replicas_per_server": option.replicas_per_server,
        "max_model_len": plan.max_model_len,
    }


def _figures(measured: Measured) -> dict[str, Any]:
    return {
        "first_token_p95_s": measured.first_token_s.value,
        "token_p95_s": measured.token_s.value,
        "busy_share": measured.busy,
    }


def table(report: CapacityReport) -> str:
    """What was compared as CSV: what keeps the targets, what misses one, what has no price."""
    rows = [("keeps the targets", _sized(one)) for one in report.search.sized]
    rows += [("misses a target", _sized(one)) for one in report.search.failed]
    rows += [("no price", _named(option)) for option in report.search.unpriced]
    return _csv(rows)


def _csv(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, ["result", *names], lineterminator="\n")
    writer.writeheader()
    for result, row in rows:
        writer.writerow({"result": result, **row})
    return text.getvalue()
