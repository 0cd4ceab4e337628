"""The HTML page of ``stoker bench``, with its plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from stoker.checks.bench import BenchReport, Deviation, Distribution, Rung, Side
from stoker.cli.render import html_page

_STYLE = """
.plots{display:flex;flex-wrap:wrap;gap:1rem}.plots figure{margin:0;flex:1 1 17rem}
svg{width:100%;height:auto}svg text{font-size:11px;fill:currentColor}
.axis{stroke:#8888}.grid{stroke:#8883}.line{fill:none;stroke-width:2}
.cold{stroke:var(--w)}.cached{stroke:var(--k)}.b{stroke-dasharray:5 3}
circle.cold{fill:var(--w)}circle.cached{fill:var(--k)}
td,th{font-size:.8em;white-space:nowrap;padding:.3rem .35rem}
.key span{margin-right:1.2rem}.key svg{width:2rem;height:.8rem;vertical-align:middle}
"""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 300, 190, 40, 22, 10
_NAMES = ("A", "B")


@dataclass(frozen=True, slots=True)
class _Point:
    """A median, and the 95th percentile where there is one."""

    value: float
    high: float | None = None


_Measure = Callable[[Rung], _Point | None]


def render(report: BenchReport, deviations: Sequence[Deviation], sides: Sequence[Side]) -> str:
    """The whole page."""
    title = " against ".join(dict.fromkeys(e.model for e in report.endpoints))
    shapes = dict.fromkeys(rung.shape for rung in report.rungs)
    named = zip(_NAMES, report.endpoints, strict=False)
    who = [f"{name}: {e.model} at {e.backend.url} ({e.backend.engine})" for name, e in named]
    body = (
        _words("", who)
        + _key(report)
        + "".join(
            _shape(shape, [rung for rung in report.rungs if rung.shape == shape])
            for shape in shapes
        )
    )
    body += _words("The plan's prediction", [deviation_words(d) for d in deviations])
    body += _words("B compared with A", [side_words(side) for side in sides])
    body += _words("Notes", [*_failures(report), *report.notes])
    return html_page.document("bench", title, _STYLE, body)


def deviation_words(deviation: Deviation) -> str:
    """A predicted time beside the measured one."""
    where = _load(deviation.shape, deviation.cached, deviation.concurrency)
    predicted = deviation.predicted
    outside = "" if deviation.within else ", outside that range"
    return (
        f"{where}, {deviation.what}: {_time(deviation.measured_s)}; predicted "
        f"{_time(predicted.expected)} ({_time(predicted.low)} to {_time(predicted.high)}): "
        f"{deviation.off:+.0%}{outside}"
    )


def side_words(side: Side) -> str:
    """The ratio of two endpoints."""
    ratio = side.ratio
    doubt = "" if ratio.certain else ": no certain difference"
    return (
        f"{_load(side.shape, side.cached, side.concurrency)}: {side.what} x {ratio.expected:.2f} "
        f"({ratio.low:.2f} to {ratio.high:.2f}){doubt}"
    )


def _load(shape: str, cached: bool, concurrency: float) -> str:
    return f"{shape} {_state(cached)}, {concurrency:.3g} at once"


def _state(cached: bool) -> str:
    return "cached" if cached else "cold"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _failures(report: BenchReport) -> list[str]:
    return [
        f"{_load(r.shape, r.cached, r.concurrency)}: {count} of {r.summary.requests} failed: {why}"
        for r in report.rungs
        for why, count in r.summary.failures.items()
    ]


def _words(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    head = f"<h2>{title}</h2>" if title else ""
    return f"{head}<ul>{''.join(f'<li>{escape(line)}' for line in lines)}</ul>"


# --- plots ---------------------------------------------------------------------------------------


def _key(report: BenchReport) -> str:
    entries = []
    for number, name in enumerate(_NAMES[: len(report.endpoints)]):
        for cached in dict.fromkeys(rung.cached for rung in report.rungs):
            label = _state(cached) + (f", {name}" if len(report.endpoints) > 1 else "")
            line = f'<line class="{_css(number, cached)}" x1=0 x2=32 y1=6 y2=6 />'
            entries.append(f'<span><svg viewBox="0 0 32 12">{line}</svg> {label}</span>')
    bars = (
        "Horizontal axis: requests at once. Points are medians, and bars reach to the 95th "
        "percentile. &gt;: the server fell behind, as requests arrived faster than answers."
    )
    return f"<p class=key>{''.join(entries)}</p><p>{bars}</p>"


def _css(endpoint: int, cached: bool) -> str:
    return f"line {_state(cached)}{' b' if endpoint else ''}"


def _shape(shape: str, rungs: Sequence[Rung]) -> str:
    measures: tuple[tuple[str, _Measure], ...] = (
        ("Time to first token, seconds", _first_token),
        ("Time per token, milliseconds", _token),
        ("Tokens per second, all answers", lambda rung: _Point(rung.summary.output_tokens_per_s)),
    )
    plots = "".join(_plot(title, measure, rungs) for title, measure in measures)
    return f"<section><h2>{shape}</h2><div class=plots>{plots}</div>{_table(rungs)}</section>"


def _first_token(rung: Rung) -> _Point | None:
    found = rung.summary.first_token_s
    return _Point(found.p50, found.p95) if found else None


def _token(rung: Rung) -> _Point | None:
    found = rung.summary.token_s
    return _Point(1000 * found.p50, 1000 * found.p95) if found else None


def _plot(title: str, measure: _Measure, rungs: Sequence[Rung]) -> str:
    points = [(rung, point) for rung in rungs if (point := measure(rung)) is not None]
    if not points:
        return ""
    loads = sorted({rung.concurrency for rung, _ in points})
    step = tick_of(max(point.high or point.value for _, point in points))
    count = 1 + max(int((point.high or point.value) / step) for _, point in points)
    width, height = _WIDTH - _LEFT, _HEIGHT - _BOTTOM - _TOP

    def x(load: float) -> float:
        return _LEFT + width * (loads.index(load) + 0.5) / len(loads)

    def y(value: float) -> float:
        return _TOP + height * (1 - value / (step * count))

    grid = "".join(
        f'<line class=grid x1={_LEFT} x2={_WIDTH} y1="{y(step * n):.1f}" y2="{y(step * n):.1f}" />'
        f'<text x={_LEFT - 4} y="{y(step * n) + 4:.1f}" text-anchor=end>{step * n:g}</text>'
        for n in range(count + 1)
    )
    labels = "".join(
        f'<text x="{x(load):.1f}" y={_HEIGHT - 6} text-anchor=middle>{load:.3g}</text>'
        for load in loads
    )
    lines = "".join(
        _line(_css(*series), [(x(r.concurrency), y(p.value), y(p.high or p.value)) for r, p in own])
        for series in dict.fromkeys((rung.endpoint, rung.cached) for rung, _ in points)
        if (own := [(r, p) for r, p in points if (r.endpoint, r.cached) == series])
    )
    return (
        f'<figure><figcaption>{title}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'role=img aria-label="{title}, by requests at once">{grid}{labels}{lines}</svg></figure>'
    )


def _line(css: str, points: Sequence[tuple[float, float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    marks = "".join(
        f'<line class="{css}" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{high:.1f}" '
        f'opacity=.5 /><circle class="{css.split()[1]}" cx="{x:.1f}" cy="{y:.1f}" r=3 />'
        for x, y, high in points
    )
    return f'<polyline class="{css}" points="{path}" />{marks}'


def tick_of(most: float) -> float:
    """A round step, of which 3 to 7 are needed to reach ``most``."""
    step = 1e-6
    for factor in (2, 2.5, 2) * 12:
        if most / step <= 6:
            return step
        step *= factor
    return most


def _table(rungs: Sequence[Rung]) -> str:
    rows = "".join(_row(rung) for rung in rungs)
    heads = (
        *("At once", "Answered", "Prompt", "Cached", "First token p50", "p95", "Token p50", "p95"),
        *("Gap p95", "Tokens/s", "In flight"),
    )
    return (
        "<table><tr><th>Prefix"
        + "".join(f"<th class=n>{head}" for head in heads)
        + f"{rows}</table>"
    )


def _row(rung: Rung) -> str:
    s = rung.summary
    behind = " &gt;" if s.keeps_up is False else ""
    cells = (
        f"{rung.concurrency:.3g}",
        f"{s.answered} of {s.requests}",
        "?" if s.prompt_tokens is None else f"{s.prompt_tokens:,.0f}",
        "?" if s.cached_tokens is None else f"{s.cached_tokens:,.0f}",
        *_both(s.first_token_s),
        *_both(s.token_s),
        _both(s.longest_gap_s)[1],
        f"{s.output_tokens_per_s:.1f}",
        f"{s.in_flight:.1f}{behind}",
    )
    return f"<tr><td>{_NAMES[rung.endpoint]} {_state(rung.cached)}" + "".join(
        f"<td class=n>{cell}" for cell in cells
    )


def _both(times: Distribution | None) -> tuple[str, str]:
    """The median and the 95th percentile."""
    return ("-", "-") if times is None else (_time(times.p50), _time(times.p95))
