"""A line more in the system prompt must not have all that stands behind it read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.tokens.request_form import system_addition, with_moved_addition

LINES = st.lists(st.text("ab<> ", max_size=6), max_size=8)


@pytest.mark.parametrize(
    ("before", "now", "lines"),
    [
        ("one\ntwo\n", "one\nnew\ntwo\n", "new\n"),
        ("one\ntwo", "one\ntwo\nnew", "\nnew"),
        ("one\ntwo", "new\none\ntwo", "new\n"),
        ("- one\n- two\n", "- one\n- new\n- two\n", "- new\n"),
        ("a\na\nb", "a\na\na\nb", "a\n"),
    ],
)
def test_whole_lines_that_were_added_are_found(before: str, now: str, lines: str) -> None:
    """In front, in between and behind, also where they begin as a line beside them does."""
    found = system_addition(before, now)
    assert found is not None
    assert found.lines == lines


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("one\ntwo\n", "one\ntwo\n"),
        ("one\ntwo\n", "one\n"),
        ("one\ntwo\n", "one\n2\n"),
        ("You have 5 tools.\n", "You have 15 tools.\n"),
        ("one\ntwo\nthree\n", "one\nnew\n2\nthree\n"),
    ],
)
def test_a_text_that_was_changed_is_no_addition(before: str, now: str) -> None:
    """Then nothing moves: a line taken apart or replaced would mean something else."""
    assert system_addition(before, now) is None


@given(LINES, LINES, LINES)
def test_an_addition_put_back_gives_the_text(
    first: list[str], new: list[str], last: list[str]
) -> None:
    """Nothing is lost: the old text and the new lines are all of the new text."""
    before, now = "\n".join([*first, *last]), "\n".join([*first, *new, *last])
    found = system_addition(before, now)
    if found is None:
        assert len(now) <= len(before) or not new
        return
    assert any(before[:at] + found.lines + before[at:] == now for at in range(len(before) + 1))


@pytest.mark.parametrize("content", ["ask", [{"type": "text", "text": "ask"}]])
def test_what_moved_stands_before_the_question(content: object) -> None:
    """In the form in which the client sent the question."""
    found = system_addition("one\n", "one\nnew\n")
    assert found is not None
    messages = [{"role": "system", "content": "one\nnew\n"}, {"role": "user", "content": content}]
    system, question = with_moved_addition({"messages": messages}, found, 1)["messages"]
    assert system["content"] == "one\n"
    text = question["content"] if isinstance(content, str) else question["content"][0]["text"]
    assert "new" in text
    assert str(question["content"]).index("new") < str(question["content"]).index("ask")
