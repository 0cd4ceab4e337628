"""Calls reach the client whole, numbered and named, whether the server or the text has them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.gateway.relay.tool_call_rewriter import TextCalls

PATH = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}


def tool(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [tool("read_file", PATH), tool("list_dir", PATH), tool("get_time", {"type": "object"})]
IN_TEXT = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'
CUT = "The call of read_file was cut off at the token limit and was not run."


@dataclass
class Got:
    """An answer as a client puts it together."""

    content: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    finish: str | None = None


def native(arguments: Any = None, name: str | None = "read_file", **fields: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"function": {k: v for k, v in function.items() if v is not None}, **fields}


def streamed(
    *deltas: dict[str, Any], finish: str | None = "tool_calls", reasons: bool = False
) -> Got:
    """What comes of these deltas and a finish reason (of none, the stream just ends)."""
    calls, got = TextCalls(TOOLS, reasons=reasons), Got()
    last = {"index": 0, "delta": {}, "finish_reason": finish}
    choices = [{"index": 0, "delta": delta} for delta in deltas] + ([last] if finish else [])
    events = [e for choice in choices for e in calls.event({"id": "c", "choices": [choice]})]
    for event in [*events, *calls.end()]:
        (choice,) = event["choices"]
        got.content += choice["delta"].get("content") or ""
        got.finish = choice.get("finish_reason") or got.finish
        for call in choice["delta"].get("tool_calls") or []:
            assert got.finish is None, "a call after the end"
            _add(got, call)
            got.indexes.append(call["index"])
    return got


def whole(*calls: Any, content: str | None = None, finish: str | None = "tool_calls") -> Got:
    message = {"role": "assistant", "content": content, "tool_calls": list(calls)}
    return whole_of(message, finish)


def whole_of(message: dict[str, Any], finish: str | None) -> Got:
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    (choice,) = TextCalls(TOOLS).whole(answer)["choices"]
    got = Got(choice["message"]["content"] or "", finish=choice["finish_reason"])
    for call in choice["message"].get("tool_calls") or []:
        _add(got, call)
    return got


def _add(got: Got, call: dict[str, Any]) -> None:
    assert call["type"] == "function"
    assert isinstance(json.loads(call["function"]["arguments"]), dict)
    got.calls.append((call["function"]["name"], call["function"]["arguments"]))
    got.ids.append(call["id"])


def of(calls: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"tool_calls": calls}


A, B = '{"path":"a.py"}', '{"path":"."}'
TWO = [("read_file", A), ("list_dir", B)]

#: Two calls, in the forms that servers stream them in.
FORMS: dict[str, list[dict[str, Any]]] = {
    "as OpenAI": [
        of([native("", index=0, id="x", type="function")]),
        of([native(A[:5], None, index=0)]),
        of([native(A[5:], None, index=0)]),
        of([native("", "list_dir", index=1, id="y", type="function")]),
        of([native(B, None, index=1)]),
    ],
    "all at index 0, each with an id": [
        of([native(A, index=0, id="x")]),
        of([native(B, "list_dir", index=0, id="y")]),
    ],
    "all at index 0, in pieces, without ids": [
        of([native(A[:7], index=0)]),
        of([native(A[7:], None, index=0)]),
        of([native("", "list_dir", index=0)]),
        of([native(B, None, index=0)]),
    ],
    "no index and no id": [of([native(A)]), of([native(B, "list_dir")])],
    "no index, the name in each piece": [
        of([native(A[:4])]),
        of([native(A[4:9])]),
        of([native(A[9:])]),
        of([native(B[:4], "list_dir")]),
        of([native(B[4:], "list_dir")]),
    ],
    "another id in each piece": [
        of([native("", index=0, id="x1")]),
        of([native(A, None, index=0, id="x2")]),
        of([native("", "list_dir", index=1, id="y1")]),
        of([native(B, None, index=1, id="y2")]),
    ],
    "id and name again in each piece": [
        of([native(A[:4], index=0, id="x")]),
        of([native(A[4:], index=0, id="x")]),
        of([native("", index=0, id="x")]),
        of([native(B, "list_dir", index=1, id="y")]),
    ],
    "interleaved": [
        of([native(A[:4], index=0, id="x"), native(B[:4], "list_dir", index=1, id="y")]),
        of([native(A[4:], None, index=0)]),
        of([native(B[4:], None, index=1)]),
    ],
    "both at once": [of([native(A, index=0), native(B, "list_dir", index=1)])],
    "arguments as objects": [
        of([native(json.loads(A), index=0)]),
        of([native(json.loads(B), "list_dir", index=1)]),
    ],
    "one call instead of a list": [
        {"tool_calls": native(A, index=0)},
        {"tool_calls": native(B, "list_dir", index=1)},
    ],
    "arguments written twice": [
        of([native(json.dumps(A), index=0)]),
        of([native(json.dumps(B), "list_dir", index=1)]),
    ],
    "the id before the name": [
        of([native(None, None, index=0, id="x")]),
        of([native(A, index=0)]),
        of([native(B, "list_dir", index=1, id="y")]),
    ],
}


@pytest.mark.parametrize("finish", ["tool_calls", "stop", "length"])
@pytest.mark.parametrize("form", FORMS)
def test_two_calls_are_two_calls_however_they_are_streamed(form: str, finish: str) -> None:
    got = streamed(*FORMS[form], finish=finish)
    assert [(name, json.loads(a)) for name, a in got.calls] == [
        (name, json.loads(a)) for name, a in TWO
    ]
    assert got.indexes == [0, 1]
    assert len(set(got.ids)) == 2
    assert all(got.ids)
    assert got.content == ""
    assert got.finish == ("length" if finish == "length" else "tool_calls")


@pytest.mark.parametrize("finish", ["tool_calls", "stop", None])
def test_whole_answers_have_the_same_form(finish: str | None) -> None:
    for calls in (
        [native(A), native(B, "list_dir")],
        [native(json.loads(A)), native(B, "list_dir")],
    ):
        got = whole(*calls, "odd", finish=finish)
        assert got.calls == TWO
        assert got.finish == "tool_calls"
    one = whole_of({"content": None, "tool_calls": native(A, id="mine")}, "stop")
    assert (one.calls, one.ids) == ([("read_file", A)], ["mine"])


def test_ids_are_those_of_no_other_answer_and_the_servers_own_are_kept() -> None:
    got = [streamed(of([native(A, index=0)])), whole(native(A), native(A)), whole(native(A, id=""))]
    ids = [one for answer in got for one in answer.ids]
    assert len(set(ids)) == 4
    assert all(ids)
    assert streamed(of([native(A, index=0, id="mine")])).ids == ["mine"]


def test_what_a_server_adds_to_its_calls_is_kept() -> None:
    calls = TextCalls(TOOLS)
    signed = native(A, index=0, extra_content={"google": {"thought_signature": "s"}})
    calls.event({"choices": [{"index": 0, "delta": of([signed])}]})
    (event, _) = calls.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    (call,) = event["choices"][0]["delta"]["tool_calls"]
    assert call["extra_content"] == {"google": {"thought_signature": "s"}}


@pytest.mark.parametrize("nothing", [None, "", " ", "null", {}])
def test_a_call_without_arguments_has_an_empty_object(nothing: Any) -> None:
    assert streamed(of([native(nothing, "get_time", index=0)])).calls == [("get_time", "{}")]
    assert whole(native(nothing, "get_time")).calls == [("get_time", "{}")]


def test_calls_in_text_and_native_calls_never_share_a_number() -> None:
    text, call = {"content": IN_TEXT}, of([native(A, index=0)])
    for deltas in ((text, call), (call, text), (call, text, of([native(B, "list_dir", index=1)]))):
        got = streamed(*deltas)
        assert sorted(got.indexes) == list(range(len(deltas)))


#: How an answer ends inside of a call: the pieces, and what there is of the call as text.
BROKEN_OFF = {
    "in the middle": ([native('{"path": "/a', index=0)], 'read_file({"path": "/a'),
    "an object without what the tool requires": (
        [native('{"other": 1}', index=0)],
        'read_file({"other": 1}',
    ),
    "an empty object, as vLLM sends": ([native("{}", index=0)], ""),
    "no arguments, as vLLM sends": ([native(None, index=0)], ""),
}


@pytest.mark.parametrize("how", BROKEN_OFF)
def test_a_call_that_the_token_limit_cut_is_text_and_never_a_call(how: str) -> None:
    calls, text = BROKEN_OFF[how]
    for got in (streamed(of(calls), finish="length"), whole(*calls, finish="length")):
        assert got.calls == []
        assert got.content.strip() == f"{text}\n\n{CUT}".strip()
        assert got.finish == "length"


@pytest.mark.parametrize("how", BROKEN_OFF)
def test_the_calls_before_the_one_that_was_cut_stay(how: str) -> None:
    first, (cut,) = native(B, "list_dir", index=0), BROKEN_OFF[how][0]
    cut = {**cut, "index": 1}
    for got in (
        streamed(of([first]), of([cut]), finish="length"),
        whole(first, cut, finish="length"),
    ):
        assert got.calls == [("list_dir", B)]
        assert got.content.strip().endswith(CUT)
        assert got.finish == "length"


def test_a_whole_call_that_ends_with_the_token_limit_is_a_call() -> None:
    for got in (
        streamed(of([native(A, index=0)]), finish="length"),
        whole(native(A), finish="length"),
    ):
        assert (got.calls, got.content, got.finish) == ([("read_file", A)], "", "length")


def test_text_of_the_call_that_vllm_sends_behind_it_stays_text() -> None:
    got = streamed(of([native("{}", index=0)]), {"content": '{"path": "/a'}, finish="length")
    assert got.calls == []
    assert got.content == f'{{"path": "/a\n\n{CUT}'


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "read_file", "arguments": {"path": "/a',
        '<tool_call>\n{"name": "read_file", "arguments": {"path": "/a"}',
        "<tool_call>\n<function=read_file>\n<parameter=path>\n/a",
        "<tool_call>\n<function=read_file>\n<parameter=path>\n/a\n</parameter>\n",
        "<tool_call>read_file\n<arg_key>path</arg_key>\n<arg_value>/a",
        '```json\n{"name": "read_file", "arguments": {"path": "/a',
        '[TOOL_CALLS]read_file[ARGS]{"path": "/a',
        '{"name": "read_file", "arguments": {"path": "/a',
        '[read_file(path="/a',
    ],
)
def test_a_call_in_text_that_the_token_limit_cut_is_given_back_and_reported(text: str) -> None:
    answers: Iterator[Got] = iter(
        [
            streamed(*({"content": char} for char in f"So: \n{text}"), finish="length"),
            streamed({"content": f"So: \n{text}"}, finish="length"),
            whole_of({"content": f"So: \n{text}"}, "length"),
        ]
    )
    for got in answers:
        assert got.calls == []
        assert got.content == f"So: \n{text}\n\n{CUT}"
        assert got.finish == "length"


def test_an_answer_that_is_merely_long_reports_no_call() -> None:
    for text in ("I call read_file with", '```python\nread_file("a', '{"answer": "read_file'):
        for got in (
            streamed({"content": text}, finish="length"),
            whole_of({"content": text}, "length"),
        ):
            assert (got.content, got.finish) == (text, "length")


@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
@pytest.mark.parametrize("arguments", ['{"path": x}', "[1]", '"x"', "7", [1]])
def test_arguments_that_are_no_object_are_text_and_no_call(arguments: Any, finish: str) -> None:
    calls = [native(arguments, index=0)]
    for got in (streamed(of(calls), finish=finish), whole(*calls, finish=finish)):
        assert got.calls == []
        written = arguments if isinstance(arguments, str) else "[1]"
        assert got.content.startswith(f"read_file({written}")
        assert "was not run: its arguments are not a JSON object" in got.content
        assert got.finish == "stop"


def test_a_stream_that_breaks_off_inside_of_a_call_does_not_pass_it_on() -> None:
    got = streamed(of([native(B, "list_dir", index=0)]), of([native("{", index=1)]), finish=None)
    assert got.calls == [("list_dir", B)]
    assert got.content.endswith("The call of read_file was cut off and was not run.")


def test_a_finish_of_tool_calls_without_a_call_becomes_stop() -> None:
    assert streamed({"content": "Hi"}).finish == "stop"
    assert whole(content="Hi").finish == "stop"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_call_at_the_end_of_reasoning_is_a_call_where_there_is_no_other_text(name: str) -> None:
    thought = f"I look.\n{IN_TEXT}"
    pieces = [{name: thought[:20]}, {name: thought[20:]}]
    for got in (
        streamed(*pieces, finish="stop"),
        whole_of({"content": None, name: thought}, "stop"),
    ):
        assert (got.calls, got.finish) == ([("get_time", "{}")], "tool_calls")
    unclosed = streamed({"content": f"<think>{thought}"}, finish="stop")
    assert unclosed.calls == [("get_time", "{}")]
    for reply in (
        streamed({name: thought}, {"content": "Hello."}, finish="stop"),
        streamed({name: f"{thought} is not needed."}, finish="stop"),
        streamed({name: thought}, finish="length"),
    ):
        assert reply.calls == []


QUOTED = '<tool_call>{"name": "list_dir", "arguments": {"path": "/"}}</tool_call>'


def test_a_call_that_the_server_made_of_a_thought_is_text() -> None:
    # vLLM with a tool parser and without a reasoning parser, and a template that opens <think>.
    thought, call = {"content": "I could "}, of([native(B, "list_dir", index=0)])
    for finish in ("stop", "tool_calls"):
        got = streamed(thought, call, {"content": "\n</think>\n\nHello!"}, finish=finish)
        assert (got.calls, got.finish) == ([], "stop")
        assert got.content == f"I could list_dir({B})\n</think>\n\nHello!"
    after = streamed(thought, call, {"content": "</think>"}, of([native(A, index=1)]))
    assert (after.calls, after.finish) == ([("read_file", A)], "tool_calls")


def test_a_stream_that_broke_off_within_possible_thinking_has_no_call() -> None:
    assert streamed({"content": f"I could {QUOTED}, but"}, finish=None).calls == []
    assert streamed({"content": f"I could {QUOTED}, but"}, finish="stop").calls != []


@pytest.mark.parametrize("content", [f"I could {QUOTED}, but", f"I could {QUOTED}"])
def test_what_a_model_that_reasons_had_written_at_the_limit_may_be_thinking(content: str) -> None:
    got = streamed({"content": content}, finish="length", reasons=True)
    assert (got.calls, got.content, got.finish) == ([], content, "length")
    closed = streamed({"content": f"I look.</think>{QUOTED} And"}, finish="length", reasons=True)
    assert [name for name, _ in closed.calls] == ["list_dir"]
    apart = [{"reasoning_content": "I look."}, {"content": f"{QUOTED} And"}]
    assert len(streamed(*apart, finish="length", reasons=True).calls) == 1
    assert len(streamed({"content": content}, finish="stop", reasons=True).calls) == 1


NAMES_IN_PARTS: dict[str, list[dict[str, Any]]] = {
    "two parts": [native(None, "read_", index=0, id="x"), native(A, "file", index=0)],
    "character by character": [
        *(native(None, sign, index=0) for sign in "read_file"),
        native(A, None, index=0),
    ],
    "an id in each": [
        native("", "read", index=0, id="x"),
        native("", "_file", index=0, id="x"),
        native(A, None, index=0, id="x"),
    ],
    "without an index": [native(None, "read_f"), native(A, "ile")],
    "an empty part between": [
        native(None, "read_", index=0),
        native(None, "", index=0),
        native(A, "file", index=0),
    ],
}


@pytest.mark.parametrize("pieces", NAMES_IN_PARTS.values(), ids=NAMES_IN_PARTS)
def test_a_name_that_comes_in_parts_is_one_name(pieces: list[dict[str, Any]]) -> None:
    # OpenAI's own clients join every text of a delta, so such streams work there.
    got = streamed(*(of([piece]) for piece in pieces))
    assert (got.calls, got.finish) == ([("read_file", A)], "tool_calls")


@pytest.mark.parametrize(
    "second",
    [
        native(B, "list_dir", index=0),
        native(B, "list_dir", index=1),
        native(B, "list_dir", index=0, id="y"),
    ],
)
def test_a_whole_name_is_never_a_part_of_the_one_before(second: dict[str, Any]) -> None:
    got = streamed(of([native(A, index=0, id="x")]), of([second]))
    assert got.calls == TWO
    once_more = streamed(of([native("", index=0)]), of([native(A, index=0)]))
    assert once_more.calls == [("read_file", A)]  # some servers repeat it in each piece


#: The call of ``TWO[0]`` in forms of other APIs, libraries and servers.
FOREIGN: dict[str, list[dict[str, Any]]] = {
    "all arguments so far in each piece, with id and name": [
        {"tool_calls": [native(part, index=0, id="a")]}
        for part in ('{"pa', '{"path": "a', '{"path": "a.py"}', '{"path": "a.py"}')
    ],
    "all arguments so far in each piece, without them": [
        {"tool_calls": [native("", index=0, id="a")]},
        {"tool_calls": [native('{"path"', None, index=0)]},
        {"tool_calls": [native('{"path": "a.py"}', None, index=0)]},
    ],
    "Anthropic's input": [
        {"tool_calls": [{"type": "tool_use", "name": "read_file", "input": {"path": "a.py"}}]}
    ],
    "LangChain's args": [
        {"tool_calls": [{"type": "tool_call", "name": "read_file", "args": {"path": "a.py"}}]}
    ],
    "the name in place of the function": [
        {"tool_calls": [{"function": "read_file", "arguments": {"path": "a.py"}}]}
    ],
    "a part of the content": [
        {"content": [{"type": "tool_use", "name": "read_file", "input": {"path": "a.py"}}]}
    ],
    "gpt-oss' name space": [{"tool_calls": [native('{"path": "a.py"}', "functions.read_file")]}],
    "Kimi's number": [{"tool_calls": [native('{"path": "a.py"}', "functions.read_file:0")]}],
    "blanks around the name": [{"tool_calls": [native('{"path": "a.py"}', " read_file ")]}],
    "left in the text too": [
        {"content": '<tool_call>{"name": "read_file", "arguments": {"path": "a.py"}}</tool_call>'},
        {"tool_calls": [native('{"path": "a.py"}', id="a")]},
    ],
}


@pytest.mark.parametrize("form", FOREIGN)
def test_a_call_in_a_foreign_form_keeps_its_arguments_and_is_one_call(form: str) -> None:
    got = streamed(*FOREIGN[form])
    assert [(name, json.loads(arguments)) for name, arguments in got.calls] == [
        ("read_file", {"path": "a.py"})
    ]
    assert (got.content, got.finish) == ("", "tool_calls")


def test_an_object_that_begins_with_its_own_beginning_is_not_cut_short() -> None:
    """The second piece alone would be a whole object too."""
    pieces = ['{"path": [', '{"path": [1]}', "]}"]
    got = streamed(*[{"tool_calls": [native(piece, index=0, id="a")]} for piece in pieces])
    assert [json.loads(arguments) for _, arguments in got.calls] == [{"path": [{"path": [1]}]}]


def test_the_empty_list_that_php_writes_for_no_arguments_is_an_empty_object() -> None:
    assert streamed({"tool_calls": [native("[]", "get_time")]}).calls == [("get_time", "{}")]


def test_legacy_function_calls_are_calls() -> None:
    # OpenAI's form of before November 2023; llama-cpp-python sends both forms.
    legacy = {"name": "read_file", "arguments": A}
    pieces = [{"name": "read_file", "arguments": ""}, {"arguments": A[:4]}, {"arguments": A[4:]}]
    both = {"function_call": legacy, **of([native(A, index=0)])}
    for got in (
        streamed(*({"function_call": piece} for piece in pieces), finish="function_call"),
        whole_of({"content": None, "function_call": legacy}, "function_call"),
        streamed(both, finish="stop"),
        whole_of({"content": "", **both}, "stop"),
    ):
        assert (got.calls, got.finish) == ([("read_file", A)], "tool_calls")
    nothings: list[Any] = [None, {}]
    for nothing in nothings:
        assert streamed({"content": "Hi", "function_call": nothing}, finish="stop").calls == []


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([{"type": "text", "text": "Hi"}], "Hi"),
        ([{"type": "text", "text": "H"}, {"type": "text", "text": "i"}], "Hi"),
        (["H", "i"], "Hi"),
        ({"type": "text", "text": "Hi"}, "Hi"),
        ([{"type": "output_text", "text": "Hi"}, {"type": "image_url", "image_url": {}}], "Hi"),
        ([], ""),
    ],
)
def test_content_in_parts_is_text_in_which_calls_are_found(parts: Any, text: str) -> None:
    more = [*parts, {"type": "text", "text": IN_TEXT}] if isinstance(parts, list) else parts
    calls = [("get_time", "{}")] if more is not parts else []
    for got in (
        streamed({"content": more}, finish="stop"),
        whole_of({"content": more}, "stop"),
    ):
        assert (got.content, got.calls) == (text, calls)


@pytest.mark.parametrize(
    ("given_reason", "sent"),
    [
        ("eos_token", "stop"),  # TGI
        ("end_turn", "stop"),  # Anthropic
        ("tool_use", "stop"),
        ("STOP", "stop"),  # Gemini
        ("MAX_TOKENS", "length"),
        ("content_filter", "content_filter"),
        ("length", "length"),
    ],
)
def test_finish_reasons_are_openais_and_agree_with_the_answer(given_reason: str, sent: str) -> None:
    for got in (
        streamed({"content": "Hi"}, finish=given_reason),
        whole(content="Hi", finish=given_reason),
    ):
        assert got.finish == sent
    called = streamed(of([native(A, index=0)]), finish=given_reason)
    assert called.finish == ("tool_calls" if sent == "stop" else sent)


def test_a_stream_that_its_server_ended_has_a_finish_reason() -> None:
    calls = TextCalls(TOOLS)
    calls.event({"choices": [{"index": 0, "delta": of([native(A, index=0)])}]})
    (call, end) = calls.end(complete=True)
    assert call["choices"][0]["delta"]["tool_calls"]
    assert end["choices"][0]["finish_reason"] == "tool_calls"


def test_what_comes_behind_the_finish_reason_is_not_lost() -> None:
    calls = TextCalls(TOOLS)
    calls.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    late = calls.event({"choices": [{"index": 0, "delta": of([native(A, index=0)])}]})
    assert late[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == A
    assert late[-1]["choices"][0]["finish_reason"] == "tool_calls"


#: Forms in which the same tool is called twice.
TWICE: dict[str, list[dict[str, Any]]] = {
    "one id for both": [of([native(A, index=0, id="x")]), of([native(B, index=0, id="x")])],
    "one id, two indexes": [of([native(A, index=0, id="x"), native(B, index=1, id="x")])],
    "no ids, in pieces, at index 0": [
        of([native("", index=0)]),
        of([native(A, None, index=0)]),
        of([native("", index=0)]),
        of([native(B, None, index=0)]),
    ],
    "one index, told apart by id while they interleave": [
        of([native("", index=0, id="x"), native("", index=0, id="y")]),
        of([native(A[:4], None, index=0, id="x"), native(B[:4], None, index=0, id="y")]),
        of([native(A[4:], None, index=0, id="x"), native(B[4:], None, index=0, id="y")]),
    ],
    "fields of the function in the call itself": [
        of([{"name": "read_file", "arguments": json.loads(A)}]),
        of([{"name": "read_file", "arguments": B}]),
    ],
    "an empty object that only begins": [
        of([native("{}", index=0, id="x")]),
        of([native(A, None, index=0)]),
        of([native("{}", index=1, id="y")]),
        of([native(B, None, index=1)]),
    ],
}


@pytest.mark.parametrize("form", TWICE)
def test_two_calls_of_one_tool_stay_two(form: str) -> None:
    got = streamed(*TWICE[form])
    assert [json.loads(arguments) for _, arguments in got.calls] == [json.loads(A), json.loads(B)]
    assert len(set(got.ids)) == 2
    assert got.content == ""


def test_a_message_in_place_of_a_delta_is_read() -> None:
    calls = TextCalls(TOOLS)
    message = {"role": "assistant", "content": "Hi", "tool_calls": [native(A)]}
    (event,) = [{"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}]
    deltas = [choice["delta"] for e in calls.event(event) for choice in e["choices"]]
    assert [delta["content"] for delta in deltas if "content" in delta] == ["Hi"]
    assert sum("tool_calls" in delta for delta in deltas) == 1


def test_an_id_of_the_conversation_is_not_used_again() -> None:
    calls = TextCalls(TOOLS, taken_ids=lambda: {"call_0"})
    message = {"content": None, "tool_calls": [native(A, id="call_0"), native(B, id="call_1")]}
    (choice,) = calls.whole({"choices": [{"message": message}]})["choices"]
    ids = [call["id"] for call in choice["message"]["tool_calls"]]
    assert ids[0] not in ("call_0", "")
    assert ids[1] == "call_1"


@pytest.mark.parametrize("finish", ["tool_calls", "stop", "length"])
@pytest.mark.parametrize("arguments", ['{"path": ', '{"path": "a', '{"path": ["a', '"{\\"path'])
def test_a_cut_call_is_text_and_the_finish_reason_is_length(arguments: str, finish: str) -> None:
    for got in (
        streamed(of([native(A, index=0)]), of([native(arguments, index=1)]), finish=finish),
        whole(native(A), native(arguments), finish=finish),
    ):
        assert (got.calls, got.finish) == ([("read_file", A)], "length")
        assert got.content.strip().startswith(f"read_file({arguments}".strip())
        assert "was cut off" in got.content


def test_text_before_and_between_calls_is_kept_where_the_last_is_cut() -> None:
    cut = '<tool_call>{"name": "read_file", "arg'
    for got in (
        streamed({"content": f"One {IN_TEXT} two {cut}"}, finish="length"),
        whole_of({"content": f"One {IN_TEXT} two {cut}"}, "length"),
    ):
        assert got.calls == [("get_time", "{}")]
        assert got.content.split() == f"One two {cut} {CUT}".split()
        assert got.finish == "length"


VALUES = st.dictionaries(st.text(max_size=4), st.text(max_size=6) | st.integers(), max_size=3)
CALLS = st.lists(st.tuples(st.sampled_from(["read_file", "get_time"]), VALUES), max_size=4)


@given(CALLS, st.lists(st.integers(0, 40), max_size=5), st.sampled_from(["stop", "length"]))
def test_calls_in_pieces_are_those_of_the_whole_answer(
    calls: list[tuple[str, dict[str, Any]]], cuts: list[int], finish: str
) -> None:
    deltas = []
    for index, (name, value) in enumerate(calls):
        text = json.dumps(value)
        ends = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
        deltas.append(of([native("", name, index=index, id=f"id{index}")]))
        deltas += [of([native(text[a:b], None, index=index)]) for a, b in pairwise(ends)]
    in_pieces = streamed(*deltas, finish=finish)
    at_once = whole(*(native(json.dumps(value), name) for name, value in calls), finish=finish)
    assert in_pieces.calls == at_once.calls
    assert in_pieces.content.strip() == at_once.content.strip()
    assert in_pieces.finish == at_once.finish
    if finish == "stop":
        assert [(n, json.loads(a)) for n, a in at_once.calls] == calls


def test_reasoning_that_stands_in_the_text_goes_where_clients_look_for_it() -> None:
    answer = (
        "<|channel|>analysis<|message|>I look.<|end|><|start|>assistant<|channel|>commentary "
        "to=functions.get_time <|constrain|>json<|message|>{}<|call|>"
    )
    choice = {"index": 0, "delta": {"content": answer}, "finish_reason": "stop"}
    events = TextCalls(TOOLS).event({"id": "c", "choices": [choice]})
    deltas = [event["choices"][0]["delta"] for event in events]
    assert deltas[0] == {"reasoning_content": "I look."}
    assert deltas[1]["tool_calls"][0]["function"] == {"name": "get_time", "arguments": "{}"}
    message = {"role": "assistant", "content": answer}
    whole = TextCalls(TOOLS).whole({"choices": [{"message": message, "finish_reason": "stop"}]})
    made = whole["choices"][0]["message"]
    assert (made["reasoning_content"], made["content"]) == ("I look.", None)
    assert made["tool_calls"][0]["function"]["name"] == "get_time"
