"""Measure how fast an endpoint answers what editors send: load, timings and statistics."""

from stoker.checks.bench.arrival_schedule import Arrivals
from stoker.checks.bench.comparison import (
    FIRST_TOKEN,
    TOKEN,
    Deviation,
    Side,
    against_plan,
    side_by_side,
)
from stoker.checks.bench.concurrency_sweep import (
    BenchReport,
    BenchTarget,
    Rung,
    Settings,
    bench,
    time_limit,
)
from stoker.checks.bench.load_generator import Halt
from stoker.checks.bench.request_timing import Timing
from stoker.checks.bench.statistics import Distribution, Ratio, Summary
from stoker.checks.bench.workloads import SHAPES, Shape

__all__ = [
    "FIRST_TOKEN",
    "SHAPES",
    "TOKEN",
    "Arrivals",
    "BenchReport",
    "BenchTarget",
    "Deviation",
    "Distribution",
    "Halt",
    "Ratio",
    "Rung",
    "Settings",
    "Shape",
    "Side",
    "Summary",
    "Timing",
    "against_plan",
    "bench",
    "side_by_side",
    "time_limit",
]
