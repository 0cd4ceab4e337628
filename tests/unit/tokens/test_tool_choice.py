"""The tool that a conversation needs next survives the cut, over the tools of several editors."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.fixtures.tool_choice import cases
from tests.unit.tokens.strategies import WordCounter

from stoker.tokens import budget_for, calibrate, drive, fit
from stoker.tokens.rank import ToolText, question_in, scores, words


@pytest.mark.parametrize("window", [2048, 4096, 8192])
def test_the_needed_tool_is_kept_in_95_of_100_cases(window: int) -> None:
    counter = WordCounter()
    calibration = drive(calibrate(), counter)
    total: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for case in cases():
        result = drive(fit(case.request, budget_for(window), calibration=calibration), counter)
        names = {tool["function"]["name"] for tool in result.request.get("tools", ())}
        total[case.editor] += 1
        kept[case.editor] += case.needs in names
    assert total.total() >= 200
    assert len(total) >= 4
    assert kept.total() / total.total() >= 0.95, kept


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listDir", ["list", "dir"]),
        ("run_in_terminal", ["run", "in", "terminal"]),
        ("HTTPServer files", ["http", "server", "file"]),
        ("mcp__github__list-pull-requests", ["mcp", "github", "list", "pull", "request"]),
    ],
)
def test_identifiers_are_split_into_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_the_question_is_read_without_the_context_around_it() -> None:
    text = "<environment_info>git terminal</environment_info>\n<userRequest>\nhi\n</userRequest>"
    assert question_in(text) == "hi"
    assert question_in("<file_contents>x = 1</file_contents> explain this") == "explain this"
    assert question_in("plain words") == "plain words"


def test_a_whole_name_that_is_asked_for_beats_a_part_of_one() -> None:
    tools = tuple(
        ToolText(name, "List things.") for name in ("list_code_usages", "list_dir", "now")
    )
    usages, list_dir, now = scores(tools, "list the files in src")
    assert list_dir > usages > now
