"""Facts in a sentence are their source's: written there, and refused where they differ."""

from __future__ import annotations

import pytest
from scripts import doc_facts


def fact(of: str, value: str) -> str:
    return f"<!-- fact: {of} -->{value}<!-- /fact -->"


@pytest.mark.parametrize(
    ("of", "value"),
    [
        ("exit done", "0"),
        ("exit failed", "1"),
        ("exit misused", "2"),
        ("default size --spare", "1"),
        ("default keys create --role", "user"),
        ("setting stoker.completion.maxTokens", "128"),
        ("run sizing.day_requests", "79,366"),
        ("run two_cores.on", "2026-11-23"),
    ],
)
def test_a_fact_has_the_value_of_its_source(of: str, value: str) -> None:
    text = f"It is {fact(of, 'something else')} now."
    assert doc_facts.written(text) == f"It is {fact(of, value)} now."
    assert list(doc_facts.wrong_facts(text)) == [
        f"{of} is {value}, and the page has something else: make docs-write"
    ]
    assert list(doc_facts.wrong_facts(doc_facts.written(text))) == []


@pytest.mark.parametrize(
    "of",
    [
        "run nothing.on",
        "run gateway.nothing",
        "speed experts furlongs",
        "default fly --wings",
        "default size --wings",
        "setting nothing",
        "exit badly",
        "weather today",
    ],
)
def test_a_fact_without_a_source_is_named(of: str) -> None:
    assert list(doc_facts.wrong_facts(fact(of, "1"))) == [f"there is no fact {of}"]


def test_a_coefficient_has_two_digits_in_the_unit_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted = {"experts": 0.5895, "split": 0.09966, "wide_bytes_s": 1.988e12, "layer_s": 0.002498}
    monkeypatch.setattr(doc_facts, "load_table", lambda name: {"efficiency": fitted})
    asked = ("speed experts", "speed split %", "speed wide_bytes_s TB/s", "speed layer_s ms")
    shown = [doc_facts.value_of(*of.split(" ", 1)) for of in asked]
    assert shown == ["0.59", "10", "2.0", "2.5"]
