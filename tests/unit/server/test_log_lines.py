"""A log's bytes become lines: every line whole, and a progress bar now and then."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from stoker.server.log_lines import PROGRESS_EVERY_S, Lines

BAR = b"".join(b"\rDeepGEMM warmup: %d%%" % done for done in range(101)) + b"\nready\n"


def clock(step_s: float) -> Callable[[], float]:
    """Each look at it is ``step_s`` after the one before."""
    now = 0.0

    def look() -> float:
        nonlocal now
        now += step_s
        return now

    return look


def read(data: bytes, step_s: float = 0.0) -> list[str]:
    lines = Lines(clock(step_s))
    return [*lines.feed(data), *lines.end()]


def test_progress_is_reported_while_it_is_made_and_not_at_the_end_only() -> None:
    lines = Lines()
    assert lines.feed(b"\rload: 1%") == []
    assert lines.feed(b"\rload: 2%") == ["load: 1%"]


def test_a_bar_is_one_line_every_few_seconds_and_its_end() -> None:
    steps = 100 / PROGRESS_EVERY_S  # a percent a second, so all of it is 100 s
    found = read(BAR, step_s=1.0)
    assert steps - 1 <= len(found) - 2 <= steps + 1
    assert found[0] == "DeepGEMM warmup: 0%"
    assert found[-2:] == ["DeepGEMM warmup: 100%", "ready"]


def test_a_bar_that_is_over_at_once_is_its_beginning_and_its_end() -> None:
    assert read(BAR) == ["DeepGEMM warmup: 0%", "DeepGEMM warmup: 100%", "ready"]


@given(st.lists(st.text("ab \u00e9%", max_size=5)), st.sampled_from(["\n", "\r\n"]))
def test_lines_with_either_end_are_all_there(texts: list[str], end: str) -> None:
    data = "".join(text + end for text in texts).encode()
    assert read(data) == [text.rstrip() for text in texts]


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"50%"])), st.integers(1, 4))
def test_how_the_bytes_are_cut_up_does_not_matter(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    lines = Lines(clock(PROGRESS_EVERY_S))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    found = [line for piece in pieces for line in lines.feed(piece)]
    assert [*found, *lines.end()] == read(data, PROGRESS_EVERY_S)


def test_of_an_endless_line_only_the_beginning_is_reported() -> None:
    """So that what is known by its beginning, as a request with its prompt, is not told in part."""
    lines = Lines()
    found = lines.feed(b"Received request 1: ")
    for _ in range(40):
        found += lines.feed(b"x" * 10_000)
    assert len(found) == 1
    assert found[0].startswith("Received request 1: ")
    assert len(found[0]) < 100_000
    assert lines.feed(b"x\r") == []
    assert lines.feed(b"\nnext\n") == ["next"]
    assert lines.end() == []
