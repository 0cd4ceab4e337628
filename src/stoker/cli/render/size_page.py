"""The HTML page of ``stoker size``: what to get and what it costs first, then why."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from stoker.application.capacity import CapacityReport
from stoker.application.capacity_phases import phases, servers
from stoker.cli.render import html_page, size_view, svg_chart
from stoker.cli.render.svg_chart import Chart, Series
from stoker.sizing.search import Sized

_STYLE = (
    svg_chart.STYLE
    + """
.answer{font-size:1.25rem;line-height:1.4;margin:.6rem 0 1.2rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:.8rem;
margin:1rem 0}
.tile{border:1px solid #8884;border-radius:.6rem;padding:.7rem .9rem}
.tile b{display:block;font-size:1.6rem;line-height:1.25;font-variant-numeric:tabular-nums}
.tile small{display:block;opacity:.75;line-height:1.35}
.good b{color:#1d8a4b}@media(prefers-color-scheme:dark){.good b{color:#4fd083}}
dl{display:grid;grid-template-columns:9rem 1fr;gap:.5rem 1rem}dt{font-weight:600}dd{margin:0}
h2{margin-top:2.2rem}.muted{opacity:.75}section{margin:0}
@media(max-width:40rem){dl{grid-template-columns:1fr}dt{margin-top:.6rem}}
"""
)
#: Charts of waiting end at this multiple of the target: beyond it the fleet is overloaded anyway.
_MOST_OF_TARGET = 3.0
#: The office day begins at this hour (``sizing.workload.OFFICE_DAY``).
_FIRST_HOUR = 9


def render(report: CapacityReport) -> str:
    """The whole page."""
    body = (
        f"<p class=muted>{escape(size_view.question(report))}</p>"
        f"<p class=answer>{escape(servers(report.best))}.</p>"
        f"<div class=tiles>{''.join(_tiles(report))}</div>"
        f"{_charts(report)}{_why(report)}{_phases(report)}{_compared(report)}{_prices(report)}"
    )
    people = size_view.crowd(report.request.sized_developers)
    return html_page.document("size", f"Capacity for {people}", _STYLE, body)


def _tiles(report: CapacityReport) -> Iterator[str]:
    best, targets = report.best, report.request.targets
    cost, spare = report.cost, targets.spare_servers
    terms = "rented" if cost.terms == "rented" else "with power and racks"
    yield _tile(f"${cost.total_usd:,.0f}", f"a month, {terms}")
    yield _tile(f"${report.usd_per_developer:,.2f}", "a month for each developer")
    yield _tile(
        f"${report.api_usd_per_month:,.0f}",
        f"a month for the same tokens from {report.request.costs.apis[0].name}",
    )
    first, token = best.measured.first_token_s.value, best.measured.token_s.value
    yield _tile(
        f"{first:.2g} s",
        f"to the first token for 95 of 100 requests; target {targets.first_token_s:g} s",
        good=first <= targets.first_token_s,
    )
    yield _tile(
        f"{1000 * token:.0f} ms",
        f"for each further token; target {1000 * targets.token_s:g} ms",
        good=token <= targets.token_s,
    )
    failing = f"{spare} server{'s' if spare != 1 else ''} may fail" if spare else "No spare server"
    yield _tile(failing, "with both targets still kept" if spare else "a failure stops the service")


def _tile(value: str, text: str, *, good: bool = False) -> str:
    css = "tile good" if good else "tile"
    return f'<div class="{css}"><b>{escape(value)}</b><small>{escape(text)}</small></div>'


# --- charts --------------------------------------------------------------------------------------


def _charts(report: CapacityReport) -> str:
    charts = (_first_token(report), _token(report), _costs(report), _day(report))
    figures = "".join(svg_chart.figure(chart) for chart in charts)
    return (
        f"<h2>As developers come</h2><div class=charts>{figures}</div>"
        f"<p class=muted>Waiting is that of the servers which just suffice, when the spare ones "
        f"are down.</p>"
    )


def _mark(report: CapacityReport) -> tuple[float, str]:
    return report.request.sized_developers, "sized for"


def _first_token(report: CapacityReport) -> Chart:
    target = report.request.targets.first_token_s
    points = [(p.developers, p.measured.first_token_s.value) for p in report.loads]
    return Chart(
        "Time to first token (95th percentile)",
        "developers",
        "seconds",
        [Series(points)],
        (target, f"target {target:g} s"),
        _mark(report),
        _MOST_OF_TARGET * target,
    )


def _token(report: CapacityReport) -> Chart:
    target = 1000 * report.request.targets.token_s
    points = [(p.developers, 1000 * p.measured.token_s.value) for p in report.loads]
    return Chart(
        "Time per output token (95th percentile)",
        "developers",
        "milliseconds",
        [Series(points)],
        (target, f"target {target:g} ms"),
        _mark(report),
        _MOST_OF_TARGET * target,
    )


def _costs(report: CapacityReport) -> Chart:
    own = [(p.developers, p.usd_per_month) for p in report.crowds]
    api = [(p.developers, p.api_usd_per_month) for p in report.crowds]
    return Chart(
        "Cost by number of developers",
        "developers",
        "dollars a month",
        [
            Series(own, "these servers", steps=True),
            Series(api, report.request.costs.apis[0].name),
        ],
        mark=_mark(report),
        y_text=lambda value: f"${value:,.0f}",
    )


def _day(report: CapacityReport) -> Chart:
    begin = 0 if report.request.trace else _FIRST_HOUR
    points = [
        (begin + (part.from_s + part.to_s) / 7200, 100 * part.utilisation)
        for part in report.day.slices
    ]
    what = "the recorded time" if report.request.trace else "a working day"
    return Chart(
        f"Utilisation over {what}, all servers at work",
        "hours recorded" if report.request.trace else "hour of the day",
        "percent of the time at work",
        [Series(points, area=True)],
        most=100,
        y_text=lambda value: f"{value:.0f} %",
        x_text=lambda value: f"{value:g}",
    )


# --- text ----------------------------------------------------------------------------------------


def _why(report: CapacityReport) -> str:
    rows = [
        ("Keeps", size_view.keeps(report)),
        ("Cost", size_view.cost(report)),
        ("Cloud API", size_view.against_api(report)),
        ("Runner-up", size_view.runner_up(report)),
        ("Breaks first", size_view.breaks_first(report)),
        ("How sure", size_view.how_sure(report)),
    ]
    if report.better is not None:
        rows.insert(4, ("Better model", size_view.better(report, report.better)))
    text = "".join(f"<dt>{name}<dd>{escape(words)}" for name, words in rows)
    return f"<h2>Why</h2><dl>{text}</dl>"


def _phases(report: CapacityReport) -> str:
    rows = "".join(
        f"<tr><td>{number}. {escape(phase.name)}<td class=n>{phase.developers:,}"
        f"<td>{escape(phase.what)}<td class=n>"
        f"{'-' if phase.usd_per_month is None else f'${phase.usd_per_month:,.0f}'}"
        f"<td>{escape(phase.entry)}<td>{escape(phase.exit)}"
        for number, phase in enumerate(phases(report), start=1)
    )
    return (
        "<h2>Phases</h2><table><tr><th>Phase<th class=n>Developers<th>What"
        f"<th class=n>A month<th>Begin<th>Leave{rows}</table>"
    )


def _compared(report: CapacityReport) -> str:
    rows = "".join(_row(one) for one in report.search.sized)
    notes = "".join(f"<li>{escape(note)}" for note in size_view.notes(report))
    return (
        "<h2>What keeps the targets</h2><table><tr><th>GPUs<th>Model<th class=n>Points"
        "<th class=n>Servers<th class=n>A month<th class=n>First token<th class=n>Token"
        f"{rows}</table><p class=muted>A month here has servers that are busy all through the "
        f"working hours; above, what the simulated day shows.</p><ul>{notes}</ul>"
    )


def _row(one: Sized) -> str:
    option, found = one.option, one.measured
    model = f"{option.plan.model.served_name} ({option.plan.model.quantization})"
    return (
        f"<tr><td>{escape(option.server.label)}<td>{escape(model)}"
        f"<td class=n>{option.plan.score:.0f}<td class=n>{one.servers}"
        f"<td class=n>${one.usd_per_month:,.0f}<td class=n>{found.first_token_s.value:.2f} s"
        f"<td class=n>{1000 * found.token_s.value:.0f} ms"
    )


def _prices(report: CapacityReport) -> str:
    costs = report.request.costs
    gpu = report.best.option.server.gpu
    facts = [
        (f"One {gpu.label}, dollars", costs.price_of(gpu)),
        (f"One {gpu.label} an hour, dollars", costs.rent_of(gpu)),
        ("A kilowatt-hour, dollars", costs.electricity),
        ("A kilowatt in a rack a month, dollars", costs.rack),
        ("Power usage effectiveness", costs.pue),
    ]
    host = costs.host_of(gpu, report.best.option.server.gpus)
    rows = [
        (name, f"{fact.value:,g}", fact.date, fact.source)
        for name, fact in facts
        if fact is not None
    ]
    if host is not None:
        rows.append(
            (
                f"{host.name[:1].upper()}{host.name[1:]}, dollars",
                f"{host.usd:,g}",
                host.date,
                host.source,
            )
        )
    api = costs.apis[0]
    million = f"{api.input_per_million:g} in, {api.output_per_million:g} out"
    rows.append((f"{api.name}, a million tokens, dollars", million, api.date, api.source))
    cells = "".join(
        f"<tr><td>{escape(name)}<td class=n>{escape(value)}<td>{escape(date)}<td>{escape(source)}"
        for name, value, date, source in rows
    )
    return (
        "<h2>Prices</h2><table><tr><th>What<th class=n>Price<th>From<th>Source"
        f"{cells}</table><p class=muted>Give your own with --prices FILE.</p>"
    )
