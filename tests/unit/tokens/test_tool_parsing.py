"""Tool calls are found in what models really print, however the stream was cut into pieces."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.tokens.tool_calls import Event, TextPart, ToolCall, ToolCallParser
from stoker.tokens.tool_calls.call_formats import MARKERS
from stoker.tokens.tool_calls.xml_calls import parameters_in_xml


def _tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [
    _tool("list_dir", path={"type": "string"}),
    _tool("read", path={"type": "string"}),
    _tool(
        "read_file",
        path={"type": "string"},
        start={"type": "integer"},
        lines={"type": "array"},
        all={"type": "boolean"},
    ),
    _tool("mcp.server/get-info", query={"type": "object"}),
]
SRC = {"path": "src"}
SRC_JSON = '{"path": "src"}'


def parse(chunks: Sequence[str], tools: Sequence[dict[str, Any]] = TOOLS) -> list[Event]:
    ids = (f"call_{number}" for number in itertools.count())
    parser = ToolCallParser(tools, new_id=lambda: next(ids))
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    events += parser.finish()
    return merged(events)


def merged(events: Sequence[Event]) -> list[Event]:
    out: list[Event] = []
    for event in events:
        last = out[-1] if out else None
        if isinstance(event, TextPart) and isinstance(last, TextPart):
            out[-1] = TextPart(last.text + event.text)
        else:
            out.append(event)
    return out


def calls(events: Sequence[Event]) -> list[tuple[str, Any]]:
    return [(e.name, json.loads(e.arguments)) for e in events if isinstance(e, ToolCall)]


def text(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextPart))


SEP, BEGIN, END = "<｜tool▁sep｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
BEGIN_ALL, END_ALL = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
HERMES = '<tool_call>\n{"name": "list_dir", "arguments": {"path": "src"}}\n</tool_call>'
QWEN_FUNCTION = "<function=list_dir>\n<parameter=path>\nsrc\n</parameter>\n</function>"
QWEN_CODER = f"<tool_call>\n{QWEN_FUNCTION}\n</tool_call>"
ONE_CALL = {
    "hermes": HERMES,
    "hermes in one line": HERMES.replace("\n", ""),
    "hermes without its end": HERMES.removesuffix("\n</tool_call>"),
    "hermes with arguments as text": (
        '<tool_call>{"name": "list_dir", "arguments": "{\\"path\\": \\"src\\"}"}</tool_call>'
    ),
    "qwen coder": QWEN_CODER,
    "qwen coder without its wrapper": QWEN_CODER.removeprefix("<tool_call>\n"),
    "qwen coder without closing a parameter": QWEN_CODER.replace("</parameter>\n", ""),
    "qwen tools tag": f'<tools>\n{{"name": "list_dir", "arguments": {SRC_JSON}}}\n</tools>',
    "llama 3.1 json": f'{{"name": "list_dir", "parameters": {SRC_JSON}}}',
    "llama 3.1 python tag": f'<|python_tag|>{{"name": "list_dir", "parameters": {SRC_JSON}}}',
    "llama 3.1 builtin": '<|python_tag|>list_dir.call(path="src")',
    "llama 3.1 function tag": f"<function=list_dir>{SRC_JSON}</function>",
    "llama 4 pythonic": "[list_dir(path='src')]",
    "llama 4 pythonic with a tag": '<|python_tag|>list_dir(path="src")',
    "mistral old": f'[TOOL_CALLS] [{{"name": "list_dir", "arguments": {SRC_JSON}}}]',
    "mistral old with an id": (
        f'[TOOL_CALLS][{{"name": "list_dir", "arguments": {SRC_JSON}, "id": "VvvODy9mT"}}]'
    ),
    "mistral new": f"[TOOL_CALLS]list_dir{SRC_JSON}",
    "mistral new with args": f"[TOOL_CALLS]list_dir[ARGS]{SRC_JSON}",
    "mistral new with id": f"[TOOL_CALLS]list_dir[CALL_ID]abc123def[ARGS]{SRC_JSON}",
    "deepseek v3": (
        f"{BEGIN_ALL}{BEGIN}function{SEP}list_dir\n```json\n{SRC_JSON}\n```{END}{END_ALL}"
    ),
    "deepseek v3.1": f"{BEGIN_ALL}{BEGIN}list_dir{SEP}{SRC_JSON}{END}{END_ALL}",
    "glm": (
        "<tool_call>list_dir\n<arg_key>path</arg_key>\n<arg_value>src</arg_value>\n</tool_call>"
    ),
    "granite": f'<|tool_call|>[{{"name": "list_dir", "arguments": {SRC_JSON}}}]',
    "granite with an old tag": f'<tool_call>[{{"name": "list_dir", "arguments": {SRC_JSON}}}]',
    "tool_calls tag": f'<tool_calls>[{{"name": "list_dir", "arguments": {SRC_JSON}}}]</tool_calls>',
    "fenced": f'```json\n{{"name": "list_dir", "arguments": {SRC_JSON}}}\n```',
    "fenced without a language": f'```\n{{"name": "list_dir", "arguments": {SRC_JSON}}}\n```',
    "fenced without its end": f'```json\n{{"name": "list_dir", "arguments": {SRC_JSON}}}\n',
    "fenced with a tag": f"```xml\n{HERMES}\n```",
    "fenced python": '```tool_code\n[list_dir(path="src")]\n```',
    "bare over lines": f'{{\n  "name": "list_dir",\n  "arguments": {SRC_JSON}\n}}',
    "bare in a list": f'[{{"name": "list_dir", "arguments": {SRC_JSON}}}]',
    "bare as openai writes it": (
        '{"type": "function", "function": {"name": "list_dir", "arguments": {"path": "src"}}}'
    ),
    "bare with a wrapper": (
        f'{{"tool_calls": [{{"function": {{"name": "list_dir", "arguments": {SRC_JSON}}}}}]}}'
    ),
    "bare with another key": f'{{"tool": "list_dir", "args": {SRC_JSON}}}',
    "bare with the name last": f'{{"arguments": {SRC_JSON}, "name": "list_dir"}}',
}


@pytest.mark.parametrize("answer", ONE_CALL.values(), ids=ONE_CALL.keys())
@pytest.mark.parametrize("before", ["", "I look at it.\n"])
def test_a_call_is_found_and_nothing_of_it_is_shown(answer: str, before: str) -> None:
    events = parse([before + answer])
    assert calls(events) == [("list_dir", SRC)]
    assert text(events) == before


@pytest.mark.parametrize("answer", ONE_CALL.values(), ids=ONE_CALL.keys())
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_small_pieces_give_the_same(answer: str, size: int) -> None:
    whole = f"Ah.\n{answer}"
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    assert parse(pieces) == parse([whole])


@pytest.mark.parametrize("answer", ONE_CALL.values(), ids=ONE_CALL.keys())
def test_a_tool_that_was_not_offered_stays_text(answer: str) -> None:
    assert parse([answer], [_tool("other")]) == [TextPart(answer)]
    assert parse(list(answer), [_tool("other")]) == [TextPart(answer)]


@pytest.mark.parametrize("answer", ONE_CALL.values(), ids=ONE_CALL.keys())
def test_an_answer_that_breaks_off_shows_all_or_a_call(answer: str) -> None:
    for end in range(1, len(answer)):
        events = parse(list(answer[:end]))
        assert calls(events) in ([], [("list_dir", SRC)])
        if not calls(events):
            assert text(events) == answer[:end]


SEVERAL = {
    "hermes": f"{HERMES}\n{HERMES}",
    "qwen coder": f"{QWEN_CODER}\n{QWEN_CODER}",
    "llama": ";".join([f'<|python_tag|>{{"name": "list_dir", "parameters": {SRC_JSON}}}'] * 2),
    "pythonic": "[list_dir(path='src'), list_dir(path='src')]",
    "mistral old": "[TOOL_CALLS]"
    + json.dumps([{"name": "list_dir", "arguments": SRC}, {"name": "list_dir", "arguments": SRC}]),
    "mistral new": f"[TOOL_CALLS]list_dir{SRC_JSON}[TOOL_CALLS]list_dir{SRC_JSON}",
    "deepseek": f"{BEGIN_ALL}{BEGIN}list_dir{SEP}{SRC_JSON}{END}"
    f"{BEGIN}list_dir{SEP}{SRC_JSON}{END}{END_ALL}",
    "fenced apart": "\n".join([ONE_CALL["fenced"]] * 2),
    "fenced together": "```json\n" + "\n".join([ONE_CALL["bare in a list"][1:-1]] * 2) + "\n```",
}


@pytest.mark.parametrize("answer", SEVERAL.values(), ids=SEVERAL.keys())
def test_several_calls_have_indices_and_ids_of_their_own(answer: str) -> None:
    for events in (parse([answer]), parse(list(answer))):
        assert calls(events) == [("list_dir", SRC)] * 2
        assert text(events) == ""
        found = [event for event in events if isinstance(event, ToolCall)]
        assert [call.index for call in found] == [0, 1]
        assert [call.id for call in found] == ["call_0", "call_1"]


NOT_CALLS = [
    '<function=\nlist_dir>{"path": "src"}</function>',
    "Use `{` to open a block and [ for a list.",
    'The file holds {"name": "list_dir"} somewhere.',
    '{"name": "stoker", "version": "1.0"}',
    '{\n  "answer": 42\n}',
    '[1, 2, 3]\n["a"]',
    '```json\n{"name": "demo", "arguments": {}}\n```',
    "```python\nprint({'a': 1})\n```\ntext",
    "```json\n" + ONE_CALL["bare in a list"] + "\nand more\n```",
    "<tool_call>not a call</tool_call>",
    '<tool_call>{"name": "list_dir", "arguments": [1]}</tool_call>',
    '<tool_call>{"name": "list_dir", "arguments": {"path": NaN}}</tool_call>',
    '<tool_call>{"name": "list_dir", "arguments": {"path": "\\ud800"}}</tool_call>',
    "<function=unknown>{}</function>",
    "[list_dir(open('x'))]",
    "[TOOL_CALLS]and then nothing",
    "[unknown(path='src')]",
    "<|python_tag|>import os",
    "a <tool b <tool_ c <tool_call",
    "{{{{[[[[",
]


@pytest.mark.parametrize("answer", NOT_CALLS)
def test_what_is_no_call_comes_out_as_it_went_in(answer: str) -> None:
    assert parse([answer]) == [TextPart(answer)]
    assert parse(list(answer)) == [TextPart(answer)]


_PIECES = st.sampled_from(
    [
        *(*ONE_CALL.values(), *NOT_CALLS, "\n", " ", "word ", "{", "[", "```", "</tool_call>"),
        *("<think>", "</think>", '"', "\\", "<function=", "[TOOL_CALLS]", BEGIN_ALL, "read"),
        *("(", ")", "ß 漢 🙂"),
    ]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(_PIECES | st.text(max_size=8), max_size=6), st.data())
def test_the_cut_of_the_stream_changes_nothing(parts: list[str], data: st.DataObject) -> None:
    whole = "".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=12)))
    ends = [0, *cuts, len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(ends)]
    expected = parse([whole])
    assert parse(pieces) == expected
    assert parse(list(whole)) == expected
    for event in expected:
        if isinstance(event, ToolCall):
            assert isinstance(json.loads(event.arguments), dict)


@pytest.mark.parametrize("before", ["", " ", "\n"])
def test_marker_inside_of_a_code_block_is_found_however_it_is_cut(before: str) -> None:
    answer = f"```{HERMES}{before}{SEVERAL['mistral old']}"
    for events in (parse([answer]), parse(list(answer))):
        assert calls(events) == [("list_dir", SRC)] * 3
        assert text(events) == "```"


@pytest.mark.parametrize("behind", ["\x0b", "\x1d\n", "\x1f ", "\u2028", "\xa0\n", "\f", " \n"])
def test_what_stands_behind_a_call_reads_the_same_however_it_is_cut(behind: str) -> None:
    """Only blanks and line ends are skipped; the other white space of Unicode is text."""
    for call in (HERMES, ONE_CALL["fenced"], '<function=list_dir>{"path": "src"}'):
        answer = f"{call}{behind}</function>{behind}</tool_call>"
        expected = parse([answer])
        assert parse(list(answer)) == expected
        for at in range(len(call), len(answer)):
            assert parse([answer[:at], answer[at:]]) == expected


@pytest.mark.parametrize("blank", ["\x0c", "\x1d", "\u2028", "\xa0", "\r\n"])
def test_blanks_in_a_bare_call_read_the_same_however_it_is_cut(blank: str) -> None:
    answer = f'{{{blank}"name"{blank}:{blank}"list_dir", "arguments": {SRC_JSON}}}'
    expected = parse([answer])
    assert parse(list(answer)) == expected
    for at in range(len(answer)):
        assert parse([answer[:at], answer[at:]]) == expected


@pytest.mark.parametrize("more", ["u" * 130, "u" * 130 + ",;", "u" * 75 + ",;", " " * 130 + "`<*"])
def test_a_fence_with_a_long_first_line_reads_the_same_however_it_is_cut(more: str) -> None:
    answer = f"```xml{more}\n{HERMES}\n```"
    expected = parse([answer])
    for at in range(len(answer)):
        assert parse([answer[:at], answer[at:]]) == expected
    assert parse(list(answer)) == expected


#: What a marker, a bare call or a fence begins with.
_BEGINNINGS = "{[`" + "".join(marker[0] for marker in MARKERS)


@given(st.text(alphabet=st.characters(exclude_characters=_BEGINNINGS)))
def test_plain_text_is_passed_on_at_once(answer: str) -> None:
    parser = ToolCallParser(TOOLS)
    assert text(parser.feed(answer)) == answer
    assert parser.finish() == []


def test_text_before_a_call_is_shown_before_the_call_is_complete() -> None:
    parser = ToolCallParser(TOOLS)
    assert text(parser.feed("I will look. <tool")) == "I will look. "
    assert parser.feed('_call>{"name": "list_dir", "argu') == []


def test_what_is_thought_is_no_call() -> None:
    events = parse(list(f"<think>maybe {HERMES}</think>{HERMES}"))
    assert calls(events) == [("list_dir", SRC)]
    assert text(events) == f"<think>maybe {HERMES}</think>"


def test_texts_become_what_the_schema_asks_for() -> None:
    answer = (
        "<tool_call><function=read_file><parameter=path>\n1\n</parameter><parameter=start>\n10\n"
        "</parameter><parameter=lines>[1, 2]</parameter><parameter=all>True</parameter>"
        "<parameter=more>x</parameter></function></tool_call>"
    )
    wanted = {"path": "1", "start": 10, "lines": [1, 2], "all": True, "more": "x"}
    assert calls(parse([answer])) == [("read_file", wanted)]


def test_json_values_are_coerced_where_nothing_is_lost() -> None:
    arguments = {"path": 5, "start": "10", "all": "true", "lines": "no list"}
    answer = json.dumps({"name": "read_file", "arguments": arguments})
    wanted = {"path": "5", "start": 10, "all": True, "lines": "no list"}
    assert calls(parse([answer])) == [("read_file", wanted)]


def test_a_value_may_hold_the_closing_tags() -> None:
    value = "a </function> b </tool_call> ``` } ]"
    hermes = json.dumps({"name": "list_dir", "arguments": {"path": value}})
    assert calls(parse([f"<tool_call>{hermes}</tool_call>"])) == [("list_dir", {"path": value})]
    xml = "<function=list_dir><parameter=path>\nx </function> y\n</parameter></function>"
    assert calls(parse([xml])) == [("list_dir", {"path": "x </function> y"})]


def test_newlines_in_a_long_file_survive() -> None:
    content = "def f():\n    return {'a': [1, 2]}\n" * 200
    answer = json.dumps({"name": "list_dir", "arguments": {"path": content}})
    assert calls(parse(list(answer))) == [("list_dir", {"path": content})]


@pytest.mark.parametrize(
    "answer",
    [
        '{"name": "list_dir", "arguments": {"path": "' + "x" * 100_000 + '"}}',
        "<tool_call>" * 20_000,
        '[{"name":"list_dir",\n' * 20_000,
        "{\n" * 50_000,
        "```json\n" * 20_000,
    ],
    ids=["long value", "open tags", "open lists", "open braces", "open fences"],
)
def test_long_answers_in_small_pieces_take_linear_time(answer: str) -> None:
    start = time.process_time()
    parse([answer[i : i + 8] for i in range(0, len(answer), 8)])
    assert time.process_time() - start < 30


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "read", "arguments": {"path": 1e999}}</tool_call>',
        '<tool_call>{"name": "read", "arguments": "{\\"path\\": -1e999}"}</tool_call>',
        '<tool_call>{"name": "read", "arguments": {"path": "\\ud800"}}</tool_call>',
        '[read(path="\\ud800")]',
        "[read(path=1e999)]",
        "[read(path={1})]",
    ],
)
def test_a_call_whose_arguments_no_client_can_read_stays_text(text: str) -> None:
    assert parse([text]) == [TextPart(text)]


def test_a_parameter_of_many_lines_takes_time_in_proportion_to_its_length() -> None:
    code = "\n" * 200_000 + "x"
    began = time.process_time()
    assert parameters_in_xml(f"<parameter=code>\n{code}\n</parameter>\n") == {"code": code}
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("<parameter=a>\n 1 \n</parameter>\n<parameter=b>2</parameter>", {"a": " 1 ", "b": "2"}),
        ("<parameter=a>1\n<parameter=b>\n2\n\n", {"a": "1", "b": "2"}),
        ("<parameter=a>x</parameter></parameter>", {"a": "x</parameter>"}),
        ("<parameter=a>x</parameter> y</parameter>", {"a": "x</parameter> y"}),
        ("<parameter=a\n>1</parameter>", None),
        ("<parameter=a>1</parameter><parameter=>2</parameter>", None),
        ("<parameter=a>1</parameter><parameter=c", None),
    ],
)
def test_parameters_are_read_whether_closed_or_not_but_none_is_dropped(
    text: str, values: dict[str, str] | None
) -> None:
    assert parameters_in_xml(text) == values


@pytest.mark.parametrize("value", ["how </tool_call> works.md", "</tool_call>", "a</tool_call>\nb"])
def test_a_value_may_hold_the_tag_that_closes_a_call(value: str) -> None:
    pair = f"<arg_key>path</arg_key>\n<arg_value>{value}</arg_value>"
    text = f"<tool_call>read_file\n{pair}\n</tool_call>"
    assert calls(parse([text])) == calls(parse(list(text))) == [("read_file", {"path": value})]


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>read_file\n<arg_key>path</arg_key>\n</tool_call>",
        "<tool_call>read_file\n<arg_key>path</arg_key><arg_value>a</arg_value><arg_key>\n</tool_call>",
        "<tool_call>read_file\na.py\n</tool_call>",
        "<tool_call><function=read_file>\na.py\n</function></tool_call>",
        "<function=read_file>path=a.py</function>",
    ],
)
def test_arguments_that_were_not_understood_make_no_call(text: str) -> None:
    for pieces in ([text], list(text)):
        assert parse(pieces) == [TextPart(text)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('<tool_call>{"name": "read_file", "arguments": {"pa', "read_file"),
        ('<tool_call>{"name": "read", "arguments": {"path": "read_file', "read"),
        ("So:\n```json\n[{", None),
        ('{"name": "read_fi', None),
        (f'<tool_call>{{"name": "list_dir", "arguments": {SRC_JSON}}}', None),
        ("Nothing of the kind", None),
    ],
)
def test_it_is_known_which_call_the_text_breaks_off_in(text: str, name: str | None) -> None:
    parser = ToolCallParser(TOOLS)
    parser.feed(text)
    parser.finish()
    assert parser.unfinished_call == name
