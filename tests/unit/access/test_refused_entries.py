"""What is counted of refused requests: exact at first, and little however many come."""

from __future__ import annotations

from stoker.access.refused_entries import RefusedEntries, RefusedEntry


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_refusals_of_one_second_and_sender_are_one_line() -> None:
    time = Time()
    refused = RefusedEntries(time)
    for _ in range(3):
        refused.note("wrong_key", "10.0.0.1")
    refused.note("expired_key", "10.0.0.1", "a1")
    assert refused.take() == {}
    time.now = 1.0
    assert refused.take() == {
        RefusedEntry("wrong_key", "10.0.0.1"): 3,
        RefusedEntry("expired_key", "10.0.0.1", "a1"): 1,
    }
    assert refused.take() == {}


def test_the_end_of_the_gateway_loses_none() -> None:
    refused = RefusedEntries(Time())
    refused.note("no_key", None)
    assert refused.take(all_of_them=True) == {RefusedEntry("no_key", "unknown"): 1}


def test_a_thousand_senders_fill_no_disk_and_none_is_left_out() -> None:
    time = Time()
    refused = RefusedEntries(time)
    for number in range(1000):
        refused.note("wrong_key", f"10.0.{number // 250}.{number % 250}")
    time.now = 1.0
    found = refused.take()
    assert len(found) == 17
    assert sum(found.values()) == 1000
    assert found[RefusedEntry("wrong_key", "others")] == 984


def test_an_attack_of_a_day_is_some_fifteen_hundred_lines() -> None:
    time = Time()
    refused = RefusedEntries(time)
    lines = counted = 0
    for second in range(0, 86_400, 10):
        time.now = float(second)
        refused.note("wrong_key", "10.0.0.1")
        found = refused.take()
        lines += len(found)
        counted += sum(found.values())
    assert 1200 < lines < 1500
    assert counted > 8_600


def test_after_a_quiet_minute_a_refusal_is_logged_at_once_again() -> None:
    time = Time()
    refused = RefusedEntries(time)
    for second in range(300):
        time.now = float(second)
        refused.note("wrong_key", "10.0.0.1")
        refused.take()
    refused.take(all_of_them=True)
    time.now = 500.0
    refused.note("no_key", "10.0.0.2")
    time.now = 501.0
    assert refused.take() == {RefusedEntry("no_key", "10.0.0.2"): 1}
