"""``stoker bench``: its options, its output, and the page with its plots."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.checks.bench.test_comparison import PLAN, report, rung
from tests.unit.checks.bench.test_summary import answer
from typer.testing import CliRunner

from stoker.checks.bench import Timing, against_plan, side_by_side
from stoker.cli import app
from stoker.cli.commands import bench
from stoker.cli.render import bench_page
from stoker.errors import StokerError, UsageError

GOOD = [answer(float(at), 0.5, 11, 0.01, prompt=200) for at in range(4)]
BAD = [*GOOD, Timing(4.0, 4.0, failure="status 500: <script>alert(1)</script>")]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--shape", "poem"], "poem"),
        (["--prefix", "warm"], "warm"),
        (["--concurrency", "1,x"], "1,x"),
        (["--concurrency", "0,1"], "0,1"),
        (["--rate", "0"], "rate of 0"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], named: str) -> None:
    error = CliRunner().invoke(app, ["bench", *arguments]).exception
    assert isinstance(error, UsageError)
    assert named in str(error)


def test_without_an_address_something_has_to_run(home: Path) -> None:
    error = CliRunner().invoke(app, ["bench"]).exception
    assert isinstance(error, StokerError)
    assert "stoker up" in error.fix


def test_a_row_shows_medians_and_marks_what_is_wrong() -> None:
    assert bench._row(rung(GOOD), 1).split() == [
        *("chat", "cold", "1", "4/4"),
        *("0.500", "0.500", "10.0", "10.0", "12.2"),
    ]
    marked = bench._row(rung(BAD, per_s=50.0), 2)
    assert marked.startswith("A chat cold")
    assert " 4/5 " in marked
    assert marked.endswith("! >")
    assert len(marked) <= 80


def test_the_document_is_json_and_has_every_request() -> None:
    found = report(rung(BAD), rung(GOOD, endpoint=1))
    written = json.dumps(
        bench._document(found, PLAN, against_plan(found, PLAN), side_by_side(found))
    )
    document = json.loads(written)
    first = document["rungs"][0]
    assert len(first["rounds"][0]) == first["summary"]["requests"] == 5
    assert first["summary"]["failures"] == {BAD[-1].failure: 1}
    assert document["prediction"][0]["measured_s"] == 0.5
    assert document["ratios"][0]["ratio"]["expected"] == 1.0


def test_failures_make_the_exit_code() -> None:
    assert bench._exit_code(report(rung(GOOD))) == 0
    assert bench._exit_code(report(rung(BAD))) == 1


class Tags(HTMLParser):
    """Counts what opens, and finds what would be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        self.foreign += [name for name, _ in attrs if name in ("src", "href") or name[:2] == "on"]


def page_of(*rungs: object) -> str:
    found = report(*rungs)  # type: ignore[arg-type]
    return bench_page.render(found, against_plan(found, PLAN), side_by_side(found))


def test_the_page_stands_alone_and_escapes_what_servers_send() -> None:
    page = page_of(rung(BAD), rung(GOOD, endpoint=1), rung(GOOD, per_s=2.0))
    tags = Tags()
    tags.feed(page)
    assert tags.foreign == []
    assert "script" not in tags.seen
    assert "1 of 5 failed: status 500: &lt;script&gt;" in page
    assert tags.seen["figure"] == 3
    assert "predicted" in page
    assert "B compared with A" in page


def test_plots_lie_inside_their_frame() -> None:
    page = page_of(rung(GOOD), rung(GOOD, per_s=2.0), rung(GOOD, cached=True))
    lines = re.findall(r'<polyline [^>]*points="([^"]*)"', page)
    assert len(lines) == 6  # three plots, cold and cached
    for line in lines:
        for point in line.split():
            x, y = map(float, point.split(","))
            assert 40 <= x <= 300
            assert 10 <= y <= 168


@given(st.floats(1e-5, 1e6))
def test_axes_have_a_few_round_steps(most: float) -> None:
    step = bench_page.tick_of(most)
    assert 2 <= most / step <= 6
    assert f"{step:.0e}"[0] in "125"
