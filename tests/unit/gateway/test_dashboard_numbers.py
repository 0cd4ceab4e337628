"""Numbers of the dashboard: how they are counted from readings, and how they are written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.gateway.dashboard import page_rendering
from stoker.gateway.dashboard.activity import (
    EVERY_S,
    Activity,
    CounterReading,
    counted,
    quantile,
    recent_activity,
)
from stoker.gateway.dashboard.formats import Formats, preferred_language
from stoker.gateway.usage.metrics import Metrics

EN, DE = Formats("en", 1_000_000.0), Formats("de", 1_000_000.0)
BOUNDS = (1.0, 2.0, 4.0, math.inf)


def reading(at: float, tokens: float = 0, *waits: float) -> CounterReading:
    return CounterReading(at, 10 * tokens, tokens, tuple(zip(BOUNDS, waits, strict=False)))


def test_speed_is_the_mean_of_the_last_minute() -> None:
    readings = [reading(at, tokens) for at, tokens in ((0, 0), (300, 3000), (330, 3300))]
    recent = recent_activity([*readings, reading(360, 3900)])
    assert recent.completion_tokens_per_s == 900 / 60
    assert recent.prompt_tokens_per_s == 9000 / 60


def test_just_started_or_silent_is_zero_and_no_division_by_nothing() -> None:
    recent = recent_activity([reading(5)])
    assert recent.completion_tokens_per_s == 0
    assert recent.first_byte_median_s is None
    assert recent.history == ()
    assert recent_activity([reading(0, 50), reading(300, 50)]).completion_tokens_per_s == 0


def test_waits_are_those_since_the_oldest_reading() -> None:
    recent = recent_activity([reading(0, 0, 100, 100, 100, 100), reading(9, 0, 100, 104, 108, 108)])
    assert recent.first_bytes == 8
    assert recent.first_byte_median_s == 2.0
    assert recent.first_byte_p95_s == pytest.approx(3.8)


def test_waits_above_the_last_bound_are_that_bound() -> None:
    assert quantile(((1.0, 0), (math.inf, 5)), 0.5) == 1.0
    assert quantile((), 0.5) is None
    assert quantile(((1.0, 0), (math.inf, 0)), 0.5) is None


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4), st.floats(0.01, 1))
def test_quantiles_lie_within_the_bounds_and_grow(counts: list[int], part: float) -> None:
    waits = tuple((bound, float(sum(counts[: i + 1]))) for i, bound in enumerate(BOUNDS))
    found = quantile(waits, part)
    assert (found is None) == (sum(counts) == 0)
    if found is not None:
        assert 0 <= found <= 4
        assert found <= (quantile(waits, 1) or 0)


def test_activity_reads_the_gateways_own_counters() -> None:
    metrics, now = Metrics(), [0.0]
    activity = Activity(metrics, lambda: now[0])
    metrics.tokens.labels("a", "completion_tokens").inc(100)
    metrics.tokens.labels("b", "completion_tokens").inc(200)
    metrics.tokens.labels("b", "prompt_tokens").inc(600)
    metrics.ttft.labels("a").observe(0.15)
    now[0] = 30.0
    activity.note(activity.read())
    recent = activity.recent(activity.read())
    assert (recent.completion_tokens_per_s, recent.prompt_tokens_per_s) == (10, 20)
    assert recent.first_bytes == 1
    assert recent.first_byte_median_s == pytest.approx(0.15)
    metrics.fits.labels("a", "tools").inc()
    assert counted(metrics.fits, "step") == {"tools": 1}


def test_a_quarter_of_an_hour_is_kept_and_no_more() -> None:
    metrics, now = Metrics(), [0.0]
    activity = Activity(metrics, lambda: now[0])
    for _ in range(1000):
        metrics.tokens.labels("a", "completion_tokens").inc(50)
        now[0] += EVERY_S
        activity.note(activity.read())
    history = activity.recent(activity.read()).history
    assert len(history) == 30
    assert set(history[:-1]) == {10.0}


@pytest.mark.parametrize(
    ("shown", "english", "german"),
    [
        (lambda f: f.count(1234567), "1,234,567", "1.234.567"),
        (lambda f: f.count(None), "–", "–"),
        (lambda f: f.speed(0), "0", "0"),
        (lambda f: f.speed(3.14159), "3.1", "3,1"),
        (lambda f: f.speed(1234.4), "1,234", "1.234"),
        (lambda f: f.percent(1, 3), "33%", "33 %"),
        (lambda f: f.percent(1, 0), "0%", "0 %"),
        (lambda f: f.wait(None), "–", "–"),
        (lambda f: f.wait(0.0254), "25 ms", "25 ms"),
        (lambda f: f.wait(1.25), "1.2 s", "1,2 s"),
        (lambda f: f.wait(42), "42 s", "42 s"),
        (lambda f: f.wait(150), "2 min", "2 min"),
        (lambda f: f.span(-3), "0 s", "0 s"),
        (lambda f: f.span(3 * 3600 + 12 * 60), "3 h 12 min", "3 h 12 min"),
        (lambda f: f.span(3 * 86400 + 7200), "3 d 2 h", "3 T 2 h"),
        (lambda f: f.ago(f.now - 120), "2 min ago", "vor 2 min"),
        (lambda f: f.moment(0), "1970-01-01 00:00 UTC", "1970-01-01 00:00 UTC"),
    ],
)
def test_values_are_written_as_people_of_a_language_read_them(
    shown: object, english: str, german: str
) -> None:
    assert callable(shown)
    assert (shown(EN), shown(DE)) == (english, german)


def test_values_in_texts_are_escaped() -> None:
    assert EN.text("usage.more", count="<b>") == "Details of all owners (&lt;b&gt;)"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH,de;q=0.9,en;q=0.8", "de"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("fr,de;q=0.3", "de"),
        ("fr", "en"),
        ("de;q=0", "en"),
        ("de;q=x, en", "en"),
        ("en;q=0.1, DE;q=0.2", "de"),
        (",;,=,q=1" * 1000, "en"),
    ],
)
def test_language_is_the_first_that_there_is(accepted: str, language: str) -> None:
    assert preferred_language(accepted) == language


def test_line_of_the_history_stays_within_its_picture() -> None:
    points = [
        tuple(map(float, p.split(","))) for p in page_rendering.sparkline((0, 5, 2.5)).split()
    ]
    assert points == [(0, 46), (120, 2), (240, 24)]
