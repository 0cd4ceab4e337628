"""A call that was only thought of is text; a call at the end of thinking without end is a call."""

from __future__ import annotations

import pytest

from stoker.tokens.tool_calls import TextPart, ToolCall, ToolCallParser, parse_answer
from stoker.tokens.tool_calls.message_headers import HEADERS
from stoker.tokens.tool_calls.thinking_tags import THINKING_TAGS

TOOLS = [{"type": "function", "function": {"name": "list_dir", "parameters": {}}}]
CALL = '<tool_call>\n{"name": "list_dir", "arguments": {"path": "/"}}\n</tool_call>'
XML = (
    "<tool_call>\n<function=list_dir>\n<parameter=path>\n/\n</parameter>\n</function>\n</tool_call>"
)
#: Tags that stay in the text. The others are headers: what they hold is sent as reasoning.
IN_TEXT = [tag for tag in THINKING_TAGS if tag not in HEADERS]
FENCED = '```json\n{"name": "list_dir", "arguments": {"path": "/"}}\n```'


def read(text: str) -> tuple[str, int]:
    """The text and the number of calls, which are the same one character at a time."""
    shown, calls = parse_answer(text, TOOLS)
    parser = ToolCallParser(TOOLS)
    events = [event for char in text for event in parser.feed(char)] + parser.finish()
    texts = [event.text for event in events if isinstance(event, TextPart)]
    found = [event for event in events if isinstance(event, ToolCall)]
    assert ("".join(texts), len(found)) == (shown, len(calls))
    assert [call.index for call in found] == list(range(len(found)))
    return shown, len(calls)


@pytest.mark.parametrize("closing", THINKING_TAGS.values())
@pytest.mark.parametrize("call", [CALL, XML, FENCED], ids=["hermes", "xml", "fenced"])
def test_a_call_before_a_closing_tag_is_thinking_where_the_prompt_opened_it(
    closing: str, call: str
) -> None:
    # vLLM without --reasoning-parser prints the text of Qwen3-Thinking and DeepSeek-R1 so:
    # https://github.com/vllm-project/vllm/issues/51679
    for thought in (
        f"I could\n{call}\nbut no.\n{closing}\n\nHello!",
        f"{call}\n{closing}Hello!",
        f"One:\n{call}\n\n{call}\nTwo.{closing}",
    ):
        assert read(thought) == (thought, 0)
        assert read(thought + CALL) == (thought, 1)


@pytest.mark.parametrize("opening", IN_TEXT)
def test_a_call_between_thinking_tags_is_thinking(opening: str) -> None:
    thought = f"{opening}I could\n{CALL}\nbut no.{THINKING_TAGS[opening]}\n\nHello! "
    assert read(thought) == (thought, 0)
    assert read(f"\n {thought}{CALL}") == (f"\n {thought}", 1)


@pytest.mark.parametrize("opening", IN_TEXT)
def test_of_thinking_that_never_ends_only_the_last_calls_are_calls(opening: str) -> None:
    # Qwen3.5: https://github.com/vllm-project/vllm/pull/35687
    assert read(f"{opening}I look.\n{CALL}\n") == (f"{opening}I look.\n", 1)
    assert read(f"{opening}I look.\n{CALL}{CALL}") == (f"{opening}I look.\n", 2)
    quoted = f"{opening}I could\n{CALL}\nbut I look.\n"
    assert read(quoted + CALL) == (quoted, 1)
    assert read(quoted) == (quoted, 0)


def test_thinking_is_closed_by_its_own_tag_alone() -> None:
    text = f"<think>Write `</thinking>`.\n{CALL}\nor not.</think>Hello!"
    assert read(text) == (text, 0)


def test_thinking_that_the_limit_cut_has_no_calls() -> None:
    parser = ToolCallParser(TOOLS)
    text = f"<think>I look.\n{CALL}"
    (*events,) = [*parser.feed(text), *parser.finish(cut=True)]
    assert events == [TextPart("<think>I look.\n"), TextPart(CALL)]


def test_thinking_between_calls_leaves_the_calls_before_it() -> None:
    # Interleaved thinking, as in the templates of MiniMax M2 and GLM 4.7.
    text = f"<think>a</think>{CALL}\n<think>or {CALL}?</think>{CALL}"
    assert read(text) == (f"<think>a</think>\n<think>or {CALL}?</think>", 2)


def test_the_name_of_a_tag_in_the_answer_changes_nothing() -> None:
    for text in (
        "<think>a</think>The tag is `<think>`, closed by `</think>`.\n",
        "Close it with `</think>`.\n",
        'if tag == "<think>":\n    pass\n',
    ):
        assert read(text + CALL) == (text, 1)
    assert read(f"{CALL}\nDone.") == ("\nDone.", 1)


def test_code_that_thinking_left_open_does_not_hide_a_call() -> None:
    thought = "<think>\n```python\nx = [\n</think>\n"
    bare = '{"name": "list_dir", "arguments": {"path": "/"}}'
    assert read(thought + bare) == (thought, 1)
    assert read(thought.rstrip() + bare) == (thought.rstrip(), 1)


def test_a_call_may_hold_a_closing_tag_in_its_arguments() -> None:
    call = '<tool_call>{"name": "list_dir", "arguments": {"path": "</think>"}}</tool_call>'
    assert read(call) == ("", 1)
    assert read(f"Hm.\n{call}") == ("Hm.\n", 1)


def test_text_flows_until_a_call_and_after_thinking_a_call_flows_too() -> None:
    parser = ToolCallParser(TOOLS)
    assert parser.feed("Hello there. ") == [TextPart("Hello there. ")]
    assert parser.feed(CALL + " More.") == []
    assert [type(event) for event in parser.finish()] == [ToolCall, TextPart]
    parser = ToolCallParser(TOOLS)
    parser.feed("a</think>")
    assert [type(event) for event in parser.feed(CALL)] == [ToolCall]
    parser = ToolCallParser(TOOLS)
    parser.end_thinking()  # it came in the reasoning field
    assert [type(event) for event in parser.feed(CALL)] == [ToolCall]
