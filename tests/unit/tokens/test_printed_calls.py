"""Whatever calls a model prints, in whatever format and pieces, are read as they were printed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from tests.unit.tokens.printed_calls import CALLS, PRINTERS, TEXTS, TOOLS, Call, can_print
from tests.unit.tokens.test_tool_parsing import calls, parse, text

from stoker.tokens.tool_calls import ThoughtPart

_PROSE = st.lists(
    st.sampled_from(
        [
            *("I look.", "a < b", "{x}", "`code`", "\n", "[1]", "**b**", "f(x)", " ", "naïve 漢"),
            *("\n```python\nprint(1)\n```\n", "<b>bold</b>", "t", "function", "</s", "tool_call"),
        ]
    ),
    max_size=5,
).map("".join)
_FORMATS = st.sampled_from(sorted(PRINTERS))
_CUTS = st.lists(st.floats(0, 1), max_size=8)


def pieces_of(whole: str, cuts: Sequence[float]) -> list[str]:
    ends = [0, *sorted(int(cut * len(whole)) for cut in cuts), len(whole)]
    return [whole[a:b] for a, b in itertools.pairwise(ends)]


@settings(deadline=None)
@given(_FORMATS, st.lists(CALLS, min_size=1, max_size=3), _PROSE, _PROSE, _CUTS)
def test_calls_are_read_as_they_were_printed_and_no_text_is_lost(
    name: str, printed: list[Call], before: str, after: str, cuts: list[float]
) -> None:
    assume(can_print(name, printed))
    event(name)
    before, after = f"{before}\n", f"\n\nThen {after}"
    whole = before + PRINTERS[name](printed) + after
    for pieces in ([whole], list(whole), pieces_of(whole, cuts)):
        events = parse(pieces, TOOLS)
        assert calls(events) == printed
        assert text(events).split() == (before + after).split()


@settings(deadline=None)
@given(_FORMATS, st.lists(CALLS, min_size=1, max_size=2), _CUTS, st.floats(0, 1))
def test_an_answer_that_was_cut_makes_no_call_that_was_not_whole(
    name: str, printed: list[Call], cuts: list[float], at: float
) -> None:
    assume(can_print(name, printed))
    answer = PRINTERS[name](printed)
    answer = answer[: int(at * len(answer))]
    events = parse([answer], TOOLS)
    assert parse(pieces_of(answer, cuts), TOOLS) == events
    found = calls(events)
    assert found == printed[: len(found)]
    assert found or text(events) == answer


@settings(deadline=None)
@given(_FORMATS, st.lists(CALLS, min_size=1, max_size=2), TEXTS, st.floats(0, 1), _CUTS)
def test_a_broken_answer_reads_the_same_in_every_piece(
    name: str, printed: list[Call], inserted: str, at: float, cuts: list[float]
) -> None:
    answer = PRINTERS[name](printed)
    place = int(at * len(answer))
    answer = answer[:place] + inserted + answer[place + len(inserted) % 3 :]
    events = parse([answer], TOOLS)
    assert parse(pieces_of(answer, cuts), TOOLS) == events
    assert parse(list(answer), TOOLS) == events
    thoughts = any(isinstance(item, ThoughtPart) for item in events)
    assert calls(events) or thoughts or text(events) == answer or "<|channel|>" in answer
