"""How quickly an endpoint answers what editors send: the load, its timings and what they mean."""

from stoker.checks.bench.arrivals import Arrivals
from stoker.checks.bench.comparison import Deviation, Side, against_plan, side_by_side
from stoker.checks.bench.ladder import Endpoint, Report, Rung, Settings, bench
from stoker.checks.bench.load import Halt
from stoker.checks.bench.shapes import SHAPES, Shape
from stoker.checks.bench.summary import Distribution, Ratio, Summary
from stoker.checks.bench.timing import Timing

__all__ = [
    "SHAPES",
    "Arrivals",
    "Deviation",
    "Distribution",
    "Endpoint",
    "Halt",
    "Ratio",
    "Report",
    "Rung",
    "Settings",
    "Shape",
    "Side",
    "Summary",
    "Timing",
    "against_plan",
    "bench",
    "side_by_side",
]
