"""A person's text keeps every character, and no name of a special token in it becomes one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.tokens.infill import (
    FORMS,
    MOST_CHARS_PER_TOKEN,
    blocks,
    is_free_of,
    near_cursor,
    neutral,
    split_at_names,
)

NAMES = tuple(dict.fromkeys(name for form in FORMS for name in form.names))
#: Texts that are likely to hold names, parts of names, and names within names.
PIECES = (
    *NAMES,
    *("<", "<|", "|>", "<<|fim_prefix|>", "fim_prefix", "[", "]", "<s><s>", "▁", "☺"),
    *("\r\n", "\t", "\n", "🙂", "שלום", "e\u0301", " ", "x"),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=40)


@given(TEXTS)
def test_pieces_are_the_text_and_hold_no_name(text: str) -> None:
    pieces = split_at_names(text, NAMES)
    assert "".join(pieces) == text
    assert not any(name in piece for piece in pieces for name in NAMES)


@given(TEXTS)
def test_a_neutral_text_holds_no_name_and_differs_by_spaces_alone(text: str) -> None:
    safe = neutral(text, NAMES)
    assert not any(name in safe for name in NAMES)
    assert safe.replace(" ", "") == text.replace(" ", "")
    if not any(name in text for name in NAMES) and not re.search(r"<[|｜\[]|control|unused", text):
        assert safe == text


@pytest.mark.parametrize("name", ["<|tuned_marker_7|>", "<｜new▁token｜>", "[control_12]"])
def test_what_looks_like_a_special_token_stays_a_text_also_where_no_table_has_it(
    name: str,
) -> None:
    assert split_at_names(f"a{name}b", ()) == [f"a{name[0]}", f"{name[1:]}b"]


@given(st.lists(st.sampled_from(["x = 1\n", "\n", "    y\n", "z" * 300, "\r\n"]), max_size=80))
@settings(max_examples=50)
def test_blocks_are_the_text_and_stay_as_it_grows(lines: list[str]) -> None:
    text = "".join(lines)
    found = blocks(text)
    assert "".join(found) == text
    assert blocks(text + "more")[: len(found) - 1] == found[:-1]


@given(st.text(max_size=400), st.text(max_size=400), st.integers(1, 60))
def test_what_is_near_the_cursor_is_kept(before: str, after: str, most_tokens: int) -> None:
    prefix, suffix = near_cursor(before, after, most_tokens)
    most = most_tokens * MOST_CHARS_PER_TOKEN
    assert before.endswith(prefix)
    assert after.startswith(suffix)
    assert max(len(prefix), len(suffix)) <= most
    assert len(prefix) >= min(len(before), most - most // 8)


def test_typing_seldom_moves_the_start_of_what_is_near_the_cursor() -> None:
    text = "".join(map(chr, range(200, 5000)))
    starts = {near_cursor(text[: 4000 + typed], "", 100)[0][0] for typed in range(99)}
    assert len(starts) <= 2


def test_ids_of_special_tokens_are_noticed() -> None:
    assert is_free_of([1, 2, 3], frozenset({4}))
    assert not is_free_of([1, 2, 4], frozenset({4}))
