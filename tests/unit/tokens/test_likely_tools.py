"""A small model reads behind each question which tools fit it; the head stays as it is."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fixtures.agent import agent_request
from tests.fixtures.tool_choice import tools_of
from tests.unit.tokens.strategies import WordCounter

from stoker.tokens import Fit, ReadingTime, budget_for, calibrate, drive, fit
from stoker.tokens.truncation.tool_ranking import ToolText, scores

CALIBRATION = drive(calibrate(), WordCounter())
#: What a small model gets.
SHORT_HEAD = ReadingTime(head_tokens=2560, added_tokens=1024)
LINE = "Tools that fit this request best: "


def fitted(request: dict[str, Any], *, names_tools: bool = True) -> Fit:
    budget = budget_for(8192, time=SHORT_HEAD)
    steps = fit(request, budget, calibration=CALIBRATION, names_tools=names_tools)
    return drive(steps, WordCounter())


def named(message: Any) -> list[str]:
    _, found, names = str(message["content"]).rpartition(LINE)
    return names.removesuffix(".").split(", ") if found else []


def with_step(request: dict[str, Any], tool: str, result: str) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": tool, "arguments": "{}"}}
    step = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    ]
    return {**request, "messages": [*request["messages"], *step]}


def test_the_line_names_offered_tools_and_the_best_first() -> None:
    result = fitted(agent_request("Find every file that ends with .spec.ts"))
    names = named(result.request["messages"][-1])
    offered = {tool["function"]["name"] for tool in result.request["tools"]}
    assert names[0] == "file_search"
    assert len(names) == result.cuts.tools_named == 3
    assert set(names) <= offered
    assert "named=3; " in result.header()


def test_the_line_is_all_that_differs() -> None:
    request = agent_request("Run the tests")
    with_line, without = fitted(request), fitted(request, names_tools=False)
    *before, last = with_line.request["messages"]
    assert named(last)
    assert before == without.request["messages"][:-1]
    assert with_line.request["tools"] == without.request["tools"]
    end = last["content"].index(LINE)
    assert last["content"][:end].rstrip() == without.request["messages"][-1]["content"]


def test_inside_a_tool_loop_nothing_is_named_and_all_else_stays() -> None:
    first = agent_request("Run the tests")
    asked = fitted(first).request
    step = fitted(with_step(first, "run_tests", "2 passed"))
    assert step.cuts.tools_named == 0
    assert step.request["tools"] == asked["tools"]
    *before, last = asked["messages"]
    assert step.request["messages"][:-3] == before
    question = step.request["messages"][-3]["content"]
    assert last["content"].startswith(question)
    assert not any(named(message) for message in step.request["messages"])


def test_a_question_that_was_answered_in_words_keeps_its_line() -> None:
    request = agent_request("Run the tests")
    asked = fitted(request).request["messages"]
    request["messages"] += [
        {"role": "assistant", "content": "I can't."},
        {"role": "user", "content": "Then list the files in src"},
    ]
    later = fitted(request).request["messages"]
    assert later[: len(asked)] == asked
    assert named(later[-1])[0] == "list_dir"


def test_a_question_that_no_tool_fits_gets_no_line() -> None:
    result = fitted(agent_request("What is a monad?"))
    assert result.cuts.tools_named == 0
    assert not any(named(message) for message in result.request["messages"])


def test_where_no_tool_may_be_called_none_is_named() -> None:
    assert not fitted(agent_request("Run the tests") | {"tool_choice": "none"}).cuts.tools_named


def test_an_editors_reminder_is_no_question() -> None:
    request = with_step(agent_request("Run the tests"), "run_tests", "2 passed")
    reminder = {"role": "user", "content": "<reminder>Run the tests in a terminal.</reminder>"}
    request["messages"].append(reminder)
    assert fitted(request).request["messages"][-1] == reminder


def test_where_no_tool_is_cut_nothing_is_named() -> None:
    request = agent_request("Run the tests")
    steps = fit(request, budget_for(40_000), calibration=CALIBRATION, names_tools=True)
    assert drive(steps, WordCounter()).request is request


def test_content_in_parts_gets_a_part_more() -> None:
    request = agent_request("Run the tests")
    parts = [{"type": "text", "text": request["messages"][-1]["content"]}]
    request["messages"][-1] = {"role": "user", "content": parts}
    content = fitted(request).request["messages"][-1]["content"]
    assert content[:-1] == parts
    assert LINE in content[-1]["text"]


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("Explain src/config.py to me", "read_file"),
        ("Which cells of analysis.ipynb have an output?", "read_notebook_cell_output"),
        ("Does https://example.com/tests/run name a limit?", "fetch_webpage"),
        ("Which files match **/tests/*.sql?", "file_search"),
    ],
)
def test_a_path_asks_for_its_kind_and_not_for_its_words(question: str, best: str) -> None:
    tools = tuple(
        ToolText(each["function"]["name"], each["function"]["description"])
        for each in tools_of("vscode")
    )
    ranked = dict(zip((tool.name for tool in tools), scores(tools, question), strict=True))
    assert max(ranked, key=ranked.__getitem__) == best
