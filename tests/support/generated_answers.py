"""Answers as models print them and servers send them, and what must be true of each one relayed.

Used by the property tests, and by ``tests/fuzz/assembler.py`` for longer.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import strategies as st

from stoker.gateway.relay.backend_connection import BackendGoneError
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.relay.tool_call_rewriter import TextCalls

Arguments = dict[str, str]


def _tool(name: str) -> dict[str, Any]:
    properties = {key: {"type": "string"} for key in ("path", "text")}
    parameters = {"type": "object", "properties": properties, "required": ["path"]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [_tool("read_file"), _tool("list_dir")]


@dataclass(frozen=True)
class Printed:
    """A piece of what a model prints: text, or a call, which may be only thought of."""

    text: str
    call: tuple[str, Arguments] | None = None


@dataclass(frozen=True)
class Sent:
    """What a client puts together from an answer."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    finish: str | None = None

    @property
    def values(self) -> list[tuple[str, Any]]:
        return [(name, json.loads(arguments)) for name, arguments in self.calls]


@dataclass(frozen=True)
class Answer:
    """An answer, where it is cut, and how it is divided on its way."""

    pieces: Sequence[Printed]
    cut: int | None
    seed: int
    form: str = "OpenAI"
    reasoning: str = ""

    @property
    def printed(self) -> str:
        return "".join(piece.text for piece in self.pieces)[: self.cut]

    @property
    def finish(self) -> str:
        whole = sum(len(piece.text) for piece in self.pieces)
        return "stop" if self.cut is None or self.cut >= whole else "length"

    @property
    def calls(self) -> list[tuple[str, Arguments]]:
        return [piece.call for piece in self.pieces if piece.call]


# What models print


def _hermes(name: str, arguments: Arguments) -> str:
    call = {"name": name, "arguments": arguments}
    return f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"


def _coder(name: str, arguments: Arguments) -> str:
    values = (f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={name}>\n{''.join(values)}</function>\n</tool_call>"


def _glm(name: str, arguments: Arguments) -> str:
    values = (
        f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"
        for key, value in arguments.items()
    )
    return f"<tool_call>{name}\n{''.join(values)}</tool_call>"


def _mistral(name: str, arguments: Arguments) -> str:
    return f"[TOOL_CALLS]{name}[ARGS]{json.dumps(arguments, ensure_ascii=False)}"


def _fenced(name: str, arguments: Arguments) -> str:
    return f"```json\n{json.dumps({'name': name, 'arguments': arguments})}\n```"


_FORMATS = (_hermes, _coder, _glm, _mistral, _fenced)
_WORDS = st.text("ab zäß🎉.,?=\n", max_size=12)
_VALUES = st.text("ab/.é{}[]:,\"'\\ 🎉-", min_size=1, max_size=12).map(lambda text: f"x{text}x")
_ARGUMENTS = st.fixed_dictionaries({"path": _VALUES}, optional={"text": _VALUES})
_CALLS = st.tuples(st.sampled_from(["read_file", "list_dir"]), _ARGUMENTS)
_CUTS = st.none() | st.integers(0, 400)
_SEEDS = st.integers(0, 2**32)


@st.composite
def printed_answers(draw: st.DrawFn) -> Answer:
    """Answers of servers that parse neither calls nor thinking."""
    pieces: list[Printed] = []
    print_call = draw(st.sampled_from(_FORMATS))
    thinking = draw(st.sampled_from(["", "", "<think>", "opened in the prompt"]))
    if thinking:
        pieces.append(Printed(thinking.removeprefix("opened in the prompt") + draw(_WORDS) + "\n"))
        if draw(st.booleans()):
            pieces.append(Printed(f"{print_call(*draw(_CALLS))}\nis what I could do.\n"))
        pieces.append(Printed("</think>\n\n"))
    for _ in range(draw(st.integers(0, 3))):
        pieces.append(Printed(draw(_WORDS) + "\n"))
        if draw(st.booleans()):
            call = draw(_CALLS)
            pieces.append(Printed(print_call(*call), call))
            pieces.append(Printed("\n"))
    return Answer(pieces, _after_thinking(pieces, draw(_CUTS)), draw(_SEEDS))


def _after_thinking(pieces: Sequence[Printed], cut: int | None) -> int | None:
    """Thinking that was cut can't be told from an answer, so a cut stands behind it."""
    thinking = 0
    for at, piece in enumerate(pieces):
        if "</think>" in piece.text:
            thinking = sum(len(piece.text) for piece in pieces[: at + 1])
    return None if cut is None else thinking + cut


@st.composite
def native_answers(draw: st.DrawFn) -> Answer:
    """Answers of servers that parse calls themselves."""
    form = draw(st.sampled_from(sorted(NATIVE_FORMS)))
    calls = draw(st.lists(_CALLS, max_size=1 if form == "function_call" else 4))
    pieces = [Printed(draw(_WORDS)), *(Printed("", call) for call in calls)]
    return Answer(pieces, None, draw(_SEEDS), form, draw(_WORDS))


# How servers send it

_Delta = dict[str, Any]


def _native(arguments: Any, name: str | None = None, **fields: Any) -> _Delta:
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    return {"tool_calls": [{"type": "function", "function": function, **fields}]}


def _openai(at: int, name: str, text: str, parts: Sequence[str]) -> list[_Delta]:
    first = _native("", name, index=at, id=f"id{at}")
    return [first, *(_native(part, index=at) for part in parts)]


def _all_at_0(at: int, name: str, text: str, parts: Sequence[str]) -> list[_Delta]:
    return [_native("", name, index=0, id=f"id{at}"), *(_native(p, index=0) for p in parts)]


def _without_ids(at: int, name: str, text: str, parts: Sequence[str]) -> list[_Delta]:
    return [_native("", name, index=0), *(_native(part, index=0) for part in parts)]


def _without_index(at: int, name: str, text: str, parts: Sequence[str]) -> list[_Delta]:
    return [_native(part, name) for part in parts]


def _with_one_id(at: int, name: str, text: str, parts: Sequence[str]) -> list[_Delta]:
    return [_native(text, name, index=0, id="call_0")]


def _object(at: int, name: str, text: str, parts: Sequence[str]) -> list[_Delta]:
    return [_native(json.loads(text), name, index=at)]


def _single(at: int, name: str, text: str, parts: Sequence[str]) -> list[_Delta]:
    return [{"tool_calls": delta["tool_calls"][0]} for delta in _openai(at, name, text, parts)]


def _legacy(at: int, name: str, text: str, parts: Sequence[str]) -> list[_Delta]:
    first: list[_Delta] = [{"function_call": {"name": name, "arguments": ""}}]
    return [*first, *({"function_call": {"arguments": part}} for part in parts)]


_Form = Callable[[int, str, str, Sequence[str]], list[_Delta]]
NATIVE_FORMS: dict[str, _Form] = {
    "OpenAI": _openai,
    "all at index 0": _all_at_0,
    "all at index 0, without ids": _without_ids,
    "no index, the name in each piece": _without_index,
    "one id for all": _with_one_id,
    "arguments as an object": _object,
    "one call instead of a list": _single,
    "function_call": _legacy,
}


@dataclass
class _Wire:
    """Divides things at random places, the same for one seed."""

    random: random.Random
    line_end: bytes = b"\n"
    deltas: list[_Delta] = field(default_factory=list)

    def parts(self, text: Any, most: int = 5) -> list[Any]:
        places = (self.random.randrange(len(text) + 1) for _ in range(self.random.randrange(most)))
        return [text[a:b] for a, b in pairwise(sorted({0, len(text), *places}))]


def deltas_of(answer: Answer) -> list[_Delta]:
    """The deltas of a stream, without the one with the finish reason."""
    wire = _Wire(random.Random(answer.seed))
    deltas: list[_Delta] = [{"role": "assistant"}]
    deltas += [{"reasoning_content": part} for part in wire.parts(answer.reasoning)]
    deltas += [{"content": part} for part in wire.parts(answer.printed)]
    native = [piece.call for piece in answer.pieces if piece.call and not piece.text]
    for at, (name, arguments) in enumerate(native):
        text = json.dumps(arguments, ensure_ascii=False)
        deltas += NATIVE_FORMS[answer.form](at, name, text, wire.parts(text))
    return deltas


def stream_of(answer: Answer) -> bytes:
    """The bytes of the whole stream, with one of the ways to end lines."""
    end = random.Random(answer.seed).choice([b"\n\n", b"\r\n\r\n", b"\n", b"\r\r"])
    choices: list[dict[str, Any]] = [{"index": 0, "delta": d} for d in deltas_of(answer)]
    choices.append({"index": 0, "delta": {}, "finish_reason": answer.finish})
    events = [b"data: " + orjson.dumps({"id": "c", "choices": [c]}) + end for c in choices]
    return b"".join(events) + b"data: [DONE]" + end


def whole_of(answer: Answer) -> bytes:
    """The same answer, not streamed."""
    native = [piece.call for piece in answer.pieces if piece.call and not piece.text]
    calls = [{"function": {"name": n, "arguments": json.dumps(a)}} for n, a in native]
    message = {"content": answer.printed, "reasoning_content": answer.reasoning}
    choice = {"message": {**message, "tool_calls": calls}, "finish_reason": answer.finish}
    return orjson.dumps({"id": "c", "choices": [choice]})


# What a client gets


def relayed(data: bytes, seed: int, *, streamed: bool, broken_at: int | None = None) -> Sent:
    """What a client gets where these bytes come in pieces, or break off at ``broken_at``."""
    return asyncio.run(_relayed(data, seed, streamed, broken_at))


async def _relayed(data: bytes, seed: int, streamed: bool, broken_at: int | None) -> Sent:
    stream = ResponseStream(None, streamed=streamed, rewrite=TextCalls(TOOLS))
    stream.head(200, {})
    for piece in _Wire(random.Random(seed)).parts(data[:broken_at], 30):
        stream.body(piece)
    if broken_at is None:
        stream.done()
    else:
        stream.failed(BackendGoneError("it broke off"))
    if not streamed:
        value, _ = stream.collected.in_normal_form()
        return _sent([{**c, "delta": c["message"]} for c in value["choices"]])
    lines = stream.writer.take_pending().split(b"\n\n")
    if lines[0]:
        _require(lines[-2:] == [b"data: [DONE]", b""], "the stream does not end as it must")
    events = [orjson.loads(line[6:]) for line in lines if line not in (b"", b"data: [DONE]")]
    return _sent([choice for event in events for choice in event.get("choices", ())])


def _sent(choices: Sequence[dict[str, Any]]) -> Sent:
    deltas = [choice["delta"] for choice in choices]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    ids = [call["id"] for call in calls]
    _require(len(set(ids)) == len(ids) and all(ids), "ids are missing or not unique")
    finishes = [c["finish_reason"] for c in choices if c.get("finish_reason")]
    return Sent(
        "".join(delta.get("content") or "" for delta in deltas),
        "".join(delta.get("reasoning_content") or "" for delta in deltas),
        tuple((c["function"]["name"], c["function"]["arguments"]) for c in calls),
        finishes[-1] if finishes else None,
    )


# What must be true of it


def check(answer: Answer, broken_at: int) -> None:
    """Raise ``AssertionError`` where a call is made up, text is lost, or two forms disagree."""
    data = stream_of(answer)
    got = relayed(data, answer.seed, streamed=True)
    whole = relayed(whole_of(answer), answer.seed, streamed=False)
    for other in (
        whole,
        relayed(whole_of(answer), answer.seed, streamed=True),
        relayed(data, answer.seed, streamed=False),
    ):
        _require(other.values == got.values, f"other calls: {other} and {got}")
        _require(other.finish == got.finish, f"another finish reason: {other} and {got}")
        _require(_dense(other.content) == _dense(got.content), f"other text: {other} and {got}")
        _require(_dense(other.reasoning) == _dense(answer.reasoning), f"reasoning lost: {other}")
    _require(got.values == answer.calls[: len(got.calls)], f"a call that was not made: {got}")
    _require(_dense(got.content).startswith(_rest(answer, len(got.calls))), f"text lost: {got}")
    if answer.finish == "stop":
        _require(got.values == answer.calls, f"calls lost: {got}")
        _require(got.finish == ("tool_calls" if got.calls else "stop"), f"wrong finish: {got}")
    broken = relayed(data, answer.seed, streamed=True, broken_at=broken_at % (len(data) + 1))
    _require(broken.values == answer.calls[: len(broken.calls)], f"broken off within: {broken}")


def _rest(answer: Answer, calls: int) -> str:
    """What is printed, up to the cut, without the first calls."""
    rest, left = "", answer.cut if answer.cut is not None else 10**9
    for piece in answer.pieces:
        is_call = piece.call is not None and calls > 0
        calls -= is_call
        rest += "" if is_call else piece.text[: max(0, left)]
        left -= len(piece.text)
    return _dense(rest)


def _dense(text: str) -> str:
    return "".join(text.split())


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
