"""A mapping of bounded size keeps what was put last."""

from __future__ import annotations

from stoker.recent_values import RecentValues


def test_the_oldest_goes_where_there_are_too_many() -> None:
    kept = RecentValues[str, int](2)
    for number, key in enumerate("abac"):
        kept.put(key, number)
    assert list(kept.items()) == [("a", 2), ("c", 3)]


def test_the_first_value_of_a_key_stays_while_it_is_asked_for() -> None:
    kept = RecentValues[str, int](2)
    assert [kept.first(key, number) for number, key in enumerate("abaca")] == [0, 1, 0, 3, 0]
    assert kept.first("b", 9) == 9
