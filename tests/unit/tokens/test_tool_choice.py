"""The tool that a conversation needs next survives the cut, over the tools of several editors."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fixtures.agent import agent_request
from tests.fixtures.tool_choice import cases, tools_of
from tests.support.recorded import FIXTURES, load
from tests.unit.tokens.strategies import WordCounter

from stoker.tokens import budget_for, calibrate, drive, fit
from stoker.tokens.truncation.conversation import read
from stoker.tokens.truncation.core_tool_names import common_tools, core_tools
from stoker.tokens.truncation.editor_markup import context_in, question_in, tagged_blocks
from stoker.tokens.truncation.tool_ranking import ToolText, scores
from stoker.tokens.truncation.tool_schema_compression import forms_of
from stoker.tokens.truncation.tool_selection import ranking
from stoker.tokens.truncation.tool_words import words


# Tools are half as long again in words and punctuation as in a model's tokens: the smallest of
# these windows holds as much as one of 2048 does (benchmarks/context_fitting.py
# counts with a real tokenizer).
@pytest.mark.parametrize("window", [2560, 4096, 8192])
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


_TAGS = st.lists(
    st.sampled_from(["<a>", "</a>", '<a x="1">', "<b-c>", "</b-c>", "<a", ">", "< a>", "x", "\n"])
).map("".join)


@given(_TAGS)
def test_a_block_goes_from_a_tag_to_the_next_that_closes_it(text: str) -> None:
    expected = re.finditer(r"<([A-Za-z][\w-]*)(?: [^<>]*)?>.*?</\1>", text, re.DOTALL)
    found = [text[block.start : block.end] for block in tagged_blocks(text)]
    assert found == [match.group() for match in expected]


@pytest.mark.parametrize("tag", ["<p>", "<task>", "<summary>"])
def test_tags_that_nothing_closes_take_no_time(tag: str) -> None:
    """Looking for the end of each took minutes."""
    text = tag * 50_000
    assert text.endswith(question_in(text))
    assert context_in(text) == []


def test_a_summary_of_the_conversation_is_no_context() -> None:
    text = "<file>x = 1</file><summary>We renamed x.</summary> go on"
    assert context_in(text) == ["<file>x = 1</file>"]


def test_after_a_summary_the_open_work_is_the_question() -> None:
    summary = (
        "<conversation-summary>\n1. Conversation Overview:\n- Primary Objectives: fix the docker "
        "build\n2. Technical Foundation:\n- Python in a terminal\n8. Continuation Plan:\n"
        "- Make a todo list of the steps that are left\n</conversation-summary>"
    )
    assert question_in(summary) == "- Make a todo list of the steps that are left"
    plain = "<conversation-summary>We renamed load_config.</conversation-summary>"
    assert question_in(plain) == "We renamed load_config."


def test_an_editors_context_asks_nothing() -> None:
    assert question_in("<environment_info>git terminal</environment_info>") == ""
    assert question_in("```\nTraceback\n```").strip("`\n") == "Traceback"


@pytest.mark.parametrize(
    ("offered", "core"),
    [
        (
            "get_vscode_api read_file list_dir file_search grep_search create_directory "
            "create_file replace_string_in_file get_errors run_in_terminal kill_terminal "
            "read_notebook_cell_output",
            "list_dir read_file replace_string_in_file run_in_terminal grep_search create_file "
            "file_search get_errors",
        ),
        # The SDK of VS Code's Copilot harness: "view" also lists folders.
        (
            "bash read_bash stop_bash list_bash view create edit sql read_agent list_agents "
            "write_agent grep glob task",
            "view edit bash grep create glob",
        ),
        (
            "execute_command read_file write_to_file replace_in_file search_files list_files",
            "list_files read_file replace_in_file execute_command search_files write_to_file",
        ),
        ("Bash BashOutput Read Write Edit Glob Grep LS", "LS Read Edit Bash Grep Write Glob"),
    ],
)
def test_the_core_is_one_tool_for_each_need(offered: str, core: str) -> None:
    names = tuple(offered.split())
    assert [names[index] for index in core_tools(names)] == core.split()


def test_the_only_tool_that_speaks_of_the_task_is_needed_for_it() -> None:
    """The to-do tool of VS Code's Copilot harness is called sql; its description names todos."""
    request = load(FIXTURES / "six_turns_copilot.json.gz")[-1]
    tools = [forms_of(tool) for tool in request["tools"]]
    conversation = read(request["messages"])
    ranked = ranking(tools, conversation)
    needed = {
        tools[index].name
        for unit in ranked.questions
        if "todo list" in str(conversation.messages[conversation.units[unit].start]["content"])
        for index in ranked.needed(unit)
    }
    assert needed == {"sql"}


def test_a_whole_name_that_is_asked_for_beats_a_part_of_one() -> None:
    tools = tuple(
        ToolText(name, "List things.") for name in ("list_code_usages", "list_dir", "now")
    )
    usages, list_dir, now = scores(tools, "list the files in src")
    assert list_dir > usages > now


@pytest.mark.parametrize(
    ("editor", "common"),
    [
        (
            "vscode",
            "manage_todo_list list_code_usages get_terminal_output run_tests fetch_webpage "
            "semantic_search get_changed_files",
        ),
        ("claude_code", "TodoWrite BashOutput WebFetch"),
        ("continue", "fetch_url_content codebase view_diff"),
        ("zed", "update_plan fetch"),
    ],
)
def test_common_tools_follow_the_core_whatever_the_client_lists_first(
    editor: str, common: str
) -> None:
    names = tuple(tool["function"]["name"] for tool in tools_of(editor))
    assert [names[index] for index in common_tools(names)] == common.split()
    request = agent_request("What does a.py do?") | {"tools": tools_of(editor)}
    offered = ranking([forms_of(tool) for tool in request["tools"]], read(request["messages"]))
    expected = [*core_tools(names), *common_tools(names)]
    assert offered.fixed_order[: len(expected)] == expected
