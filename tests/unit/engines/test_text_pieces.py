"""The pieces of a text are its tokens' and join to the text, whatever the tokenizer adds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.engines.text_pieces import pieces


@pytest.mark.parametrize(
    ("text", "spans", "expected"),
    [
        ("ab", [(0, 1), (1, 2)], ["a", "b"]),
        ("ab", [(0, 0), (0, 1), (1, 2)], ["a", "b"]),  # what begins a prompt
        ("🙂x", [(0, 1), (0, 1), (0, 1), (1, 2)], ["🙂", "", "", "x"]),  # bytes of a character
        ("a b", [(0, 1), (2, 3)], ["a", " b"]),  # a space that no span has
        ("ab ", [(0, 1), (1, 2)], ["a", "b "]),
        ("", [], []),
        ("a", [], ["a"]),
    ],
)
def test_pieces(text: str, spans: list[tuple[int, int]], expected: list[str]) -> None:
    assert pieces(text, spans) == expected


@given(st.text(max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))))
def test_the_pieces_join_to_the_text(text: str, spans: list[tuple[int, int]]) -> None:
    assert "".join(pieces(text, spans)) == text
