"""Line charts as inline SVG: two numeric axes with round ticks, and colours of the page's mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from stoker.cli.render.bench_page import tick_of

STYLE = """
.charts{display:flex;flex-wrap:wrap;gap:1.5rem}.charts figure{margin:0;flex:1 1 24rem}
figcaption{font-weight:600;margin-bottom:.2rem}
.chart{width:100%;height:auto}.chart text{font-size:12px;fill:currentColor}
.chart .grid{stroke:#8883}.chart .axis{stroke:#888}
.chart .line{fill:none;stroke-width:2.5}.chart .c0{stroke:var(--w)}.chart .c1{stroke:var(--g)}
.chart .area{fill:var(--w);opacity:.25;stroke:none}
.chart .limit{stroke:#d33;stroke-width:1.5;stroke-dasharray:6 4}.chart .limit-text{fill:#d33}
.chart .mark{stroke:#888;stroke-dasharray:2 3}
.chart circle.c0{fill:var(--w)}.chart circle.c1{fill:var(--g)}
.chart text.c0{fill:var(--w);stroke:none}.chart text.c1{fill:var(--g);stroke:none}
"""
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 480, 280, 58, 14, 28, 46


@dataclass(frozen=True, slots=True)
class Series:
    """A line: points of numbers, and its name where there is more than one."""

    points: Sequence[tuple[float, float]]
    name: str = ""
    #: Level from each point to the next, as for what comes in whole pieces.
    steps: bool = False
    area: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over one horizontal axis. ``limit`` is a level that is not to be passed."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    limit: tuple[float, str] | None = None
    #: A place on the horizontal axis that is of interest, with its name.
    mark: tuple[float, str] | None = None
    #: The highest value that is drawn: what is above leaves the chart.
    most: float | None = None
    x_text: Callable[[float], str] = lambda value: f"{value:,.0f}"
    y_text: Callable[[float], str] = lambda value: f"{value:,.3g}"


def figure(chart: Chart) -> str:
    """The chart with its title, as HTML."""
    scale = _Scale.of(chart)
    body = _axes(chart, scale) + "".join(
        _line(series, number, scale, named=len(chart.series) > 1)
        for number, series in enumerate(chart.series)
    )
    label = escape(f"{chart.title}: {chart.y_label} by {chart.x_label}")
    return (
        f"<figure><figcaption>{escape(chart.title)}</figcaption>"
        f'<svg class=chart viewBox="0 0 {_WIDTH} {_HEIGHT}" role=img aria-label="{label}">'
        f"<clipPath id=plot><rect x={_LEFT} y={_TOP} width={_WIDTH - _LEFT} "
        f"height={_HEIGHT - _TOP - _BOTTOM} /></clipPath>{body}</svg></figure>"
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where values are drawn; both axes begin at their first tick."""

    x_from: float
    x_step: float
    x_ticks: int
    y_step: float
    y_ticks: int

    @classmethod
    def of(cls, chart: Chart) -> _Scale:
        xs = [x for series in chart.series for x, _ in series.points]
        ys = [y for series in chart.series for _, y in series.points]
        ys += [chart.limit[0] * 1.1] if chart.limit else []
        most = min(max(ys), chart.most) if chart.most else max(ys)
        x_step, y_step = tick_of(max(xs) - min(xs) or 1.0), tick_of(most or 1.0)
        x_from = x_step * int(min(xs) / x_step)
        x_ticks = max(1, -int(-(max(xs) - x_from) // x_step))
        return cls(x_from, x_step, x_ticks, y_step, max(1, -int(-most // y_step)))

    def x(self, value: float) -> float:
        share = (value - self.x_from) / (self.x_step * self.x_ticks)
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share

    def y(self, value: float) -> float:
        share = value / (self.y_step * self.y_ticks)
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)


def _axes(chart: Chart, scale: _Scale) -> str:
    bottom = _HEIGHT - _BOTTOM
    parts = []
    for number in range(scale.y_ticks + 1):
        value, y = scale.y_step * number, scale.y(scale.y_step * number)
        parts.append(
            f'<line class=grid x1={_LEFT} x2={_WIDTH - _RIGHT} y1="{y:.1f}" y2="{y:.1f}" />'
            f'<text x={_LEFT - 6} y="{y + 4:.1f}" text-anchor=end>'
            f"{escape(chart.y_text(value))}</text>"
        )
    for number in range(scale.x_ticks + 1):
        value = scale.x_from + scale.x_step * number
        parts.append(
            f'<text x="{scale.x(value):.1f}" y={bottom + 17} text-anchor=middle>'
            f"{escape(chart.x_text(value))}</text>"
        )
    parts.append(
        f"<line class=axis x1={_LEFT} x2={_WIDTH - _RIGHT} y1={bottom} y2={bottom} />"
        f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y={_HEIGHT - 8} text-anchor=middle>'
        f"{escape(chart.x_label)}</text>"
        f"<text x=2 y=11>{escape(chart.y_label)}</text>"
    )
    return "".join(parts) + _limit(chart, scale) + _mark(chart, scale)


def _limit(chart: Chart, scale: _Scale) -> str:
    if chart.limit is None:
        return ""
    value, name = chart.limit
    y = scale.y(value)
    return (
        f'<line class=limit x1={_LEFT} x2={_WIDTH - _RIGHT} y1="{y:.1f}" y2="{y:.1f}" />'
        f'<text class=limit-text x={_LEFT + 6} y="{y - 5:.1f}">{escape(name)}</text>'
    )


def _mark(chart: Chart, scale: _Scale) -> str:
    if chart.mark is None:
        return ""
    value, name = chart.mark
    x = scale.x(value)
    left = x > _WIDTH / 2
    return (
        f'<line class=mark x1="{x:.1f}" x2="{x:.1f}" y1={_TOP} y2={_HEIGHT - _BOTTOM} />'
        f'<text x="{x + (-5 if left else 5):.1f}" y={_TOP + 11} '
        f"text-anchor={'end' if left else 'start'}>{escape(name)}</text>"
    )


def _line(series: Series, number: int, scale: _Scale, *, named: bool) -> str:
    drawn = [(scale.x(x), scale.y(y)) for x, y in series.points]
    if not drawn:
        return ""
    path = [f"{drawn[0][0]:.1f},{drawn[0][1]:.1f}"]
    for (_, before), (x, y) in pairwise(drawn):
        path += [f"{x:.1f},{before:.1f}"] if series.steps else []
        path.append(f"{x:.1f},{y:.1f}")
    points = " ".join(path)
    bottom = _HEIGHT - _BOTTOM
    area = ""
    if series.area:
        area = (
            f'<polygon class=area points="{drawn[0][0]:.1f},{bottom} {points} '
            f'{drawn[-1][0]:.1f},{bottom}" />'
        )
    dots = "".join(
        f'<circle class=c{number} cx="{x:.1f}" cy="{y:.1f}" r=3 />'
        for x, y in drawn
        if not series.area
    )
    name = ""
    if named:
        x, y = next(((x, y) for x, y in reversed(drawn) if y >= _TOP), drawn[0])
        name = (
            f'<text class=c{number} x="{x - 6:.1f}" y="{max(_TOP + 12, y - 8):.1f}" '
            f"text-anchor=end>{escape(series.name)}</text>"
        )
    line = f'<polyline class="line c{number}" points="{points}" />'
    return f'<g clip-path="url(#plot)">{area}{line}{dots}</g>{name}'
