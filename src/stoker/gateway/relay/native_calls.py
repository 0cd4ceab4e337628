"""Assemble a server's own tool calls: whole, in one form, or not at all.

Servers stream a call in pieces and differ in how: no index, every call at index 0, an id in each
piece or in none, arguments as an object. A piece that was passed on can't be taken back, and a
call whose arguments broke off is run by clients as if it had none. So a call is held until it is
whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from stoker.tokens.tool_calls import ARGUMENT_KEYS, ToolSchemas, is_cut_json, parse_json

_OWN_KEYS = frozenset({"index", "id", "type", "function", "name", *ARGUMENT_KEYS})
#: Arguments that hold nothing; the list is what PHP writes for an empty object.
_NO_ARGUMENTS = ("", "null", "[]")


@dataclass
class NativeCall:
    """One call as far as it has come."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    #: Fields that the server adds, such as a signature that it expects back.
    extra: dict[str, Any] = field(default_factory=dict)
    #: Its name came again after the whole of it: the next arguments are another call's.
    named_again: bool = False
    #: The last piece of the arguments, and whether each piece began with the one before.
    _latest: str = ""
    _grows: bool = True

    @property
    def value(self) -> Any:
        """The arguments as JSON; no arguments at all are an empty object."""
        return {} if self.arguments.strip() in _NO_ARGUMENTS else _value_of(self.arguments)

    @property
    def last_value(self) -> Any:
        """The arguments of a call to which nothing more comes.

        Some servers send all arguments so far in each piece. It is sure where the pieces together
        are no JSON: one beginning behind the other never is.
        """
        value = self.value
        return _value_of(self._latest) if value is None and self._grows else value

    @property
    def is_whole(self) -> bool:
        """Whether it has a name, and arguments that are an object."""
        return bool(self.name) and isinstance(self.last_value, dict)

    @property
    def breaks_off(self) -> bool:
        """Whether arguments have begun and are not complete."""
        return bool(self.arguments.strip()) and self.value is None

    @property
    def is_cut(self) -> bool:
        """Whether its arguments end in the middle, whatever finish reason the server sends."""
        return self.breaks_off and is_cut_json(self.arguments)

    def add(self, piece: Mapping[str, Any]) -> None:
        """Take one more piece of it."""
        function = _function(piece)
        self.id = self.id or _text(piece.get("id"))
        named = bool(_text(function.get("name")) and self.name and self.value)
        self.named_again = self.named_again or named
        self.name = self.name or _text(function.get("name"))
        self.extra.update({k: v for k, v in piece.items() if k not in _OWN_KEYS})
        arguments = _arguments(function)
        if isinstance(arguments, str):
            # An empty object that is followed by the real one was only a beginning: gateways that
            # translate Anthropic's events send the `input` of `content_block_start` so.
            begun = self.arguments if self.arguments.strip() != "{}" else ""
            self.arguments = begun + arguments if arguments.strip() else self.arguments + arguments
            self._grows = self._grows and arguments.startswith(self._latest)
            self._latest = arguments or self._latest
        elif arguments is not None:
            self.arguments = orjson.dumps(arguments).decode()

    def continues_with(self, piece: Mapping[str, Any]) -> bool:
        """Whether ``piece`` belongs to this call, judged by everything but its index."""
        function, own_id = _function(piece), _text(piece.get("id"))
        name, arguments = _text(function.get("name")), _arguments(function)
        if not name or not self.name:
            return not (self.named_again and arguments)
        if self.breaks_off:
            return name == self.name  # repeated in each piece, as some servers do
        if name != self.name or (own_id and self.id and own_id != self.id):
            return False
        has_more = arguments not in (None, "") and bool(self.arguments.strip())
        if not has_more:
            return True
        # What follows a whole object is another call, unless the object was but a beginning.
        return bool(own_id and self.id) and self.value == {}

    def as_text(self) -> str:
        """The call as a model would quote it."""
        return f"{self.name}({self.arguments})"

    def as_sent(self, own_id: str) -> dict[str, Any]:
        """The call in OpenAI's form, less its index, under this id."""
        value, arguments = self.last_value, self.arguments
        if not _is_object(arguments):
            arguments = orjson.dumps(value).decode()
        function = {"name": self.name, "arguments": arguments}
        return {**self.extra, "id": own_id, "type": "function", "function": function}


class NativeCalls:
    """The calls of one choice. ``tools`` are those that were offered."""

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._tools = tools
        self._open: list[NativeCall] = []
        #: By the server's number: the call that it was given to last.
        self._by_index: dict[int, NativeCall] = {}

    @cached_property
    def _schemas(self) -> ToolSchemas:
        return ToolSchemas(self._tools)

    @cached_property
    def _required(self) -> dict[str, frozenset[str]]:
        """What each tool requires; most answers have no call that must be checked."""
        return {_text(_function(tool).get("name")): _required(tool) for tool in self._tools}

    @property
    def has_open(self) -> bool:
        """Whether there are calls that were not returned."""
        return bool(self._open)

    def feed(self, pieces: object) -> None:
        """Take the ``tool_calls`` of one delta."""
        for piece in _dicts(pieces):
            index = piece.get("index")
            call = self._by_index.get(index) if isinstance(index, int) else self._last()
            call = self._of_id(call, _text(piece.get("id")))
            if call is not None and self._goes_on_with_name(call, piece):
                call.name += _text(_function(piece).get("name"))
            elif call is None or not call.continues_with(piece):
                own_name = _text(_function(piece).get("name"))
                call = self._begin(own_name or (call.name if call else ""))
            if isinstance(index, int):
                self._by_index[index] = call
            call.add(piece)

    def take(self, calls: object) -> None:
        """Take the ``tool_calls`` of an answer that was not streamed: each is a call."""
        for call in _dicts(calls):
            self._begin().add(call)

    def whole(self) -> list[NativeCall]:
        """The calls that are whole by now, and were not returned before.

        Not the last one: it may go on, and whether it was cut shows at the end of the answer. And
        none without arguments: they may still come, where calls are sent in turns.
        """
        done: list[NativeCall] = []
        while len(self._open) > 1 and self._open[0].is_whole and self._open[0].value:
            done.append(self._named(self._open.pop(0)))
        return done

    def take_back(self) -> list[NativeCall]:
        """The calls so far, whole or not: they are none."""
        calls, self._open, self._by_index = self._open, [], {}
        return calls

    def finish(self, *, cut: bool) -> tuple[list[NativeCall], list[NativeCall]]:
        """The calls that are left, and those that are not whole. ``cut``: the answer broke off.

        Then the last call is whole only with all that its tool requires and with some arguments:
        vLLM (0.32.0) ends a call that broke off with ``{}``.
        """
        last = self._last()
        whole: list[NativeCall] = []
        broken: list[NativeCall] = []
        for call in map(self._named, self._open):
            is_whole = call.is_whole and not (cut and call is last and not self._has_all(call))
            (whole if is_whole else broken).append(call)
        self._open = []
        return whole, broken

    def _named(self, call: NativeCall) -> NativeCall:
        """The call under the name that its tool was offered by: without a model's name space."""
        call.name = self._schemas.resolve(call.name) or call.name
        return call

    def _has_all(self, call: NativeCall) -> bool:
        value = call.last_value
        return bool(value) and self._required.get(call.name, frozenset()) <= value.keys()

    def _of_id(self, by_index: NativeCall | None, own_id: str) -> NativeCall | None:
        """The call that a piece belongs to: where the index names another id, the id decides."""
        if not own_id or by_index is None or by_index.id == own_id:
            return by_index
        return next((call for call in self._open if call.id == own_id), by_index)

    def _goes_on_with_name(self, call: NativeCall, piece: Mapping[str, Any]) -> bool:
        """Whether ``piece`` has the next part of the call's name, as clients join it.

        It is only where no tool has the part's name, one has the beginning that both make, and no
        arguments have come.
        """
        name, own_id = _text(_function(piece).get("name")), _text(piece.get("id"))
        if not name or name in self._required or call.arguments.strip():
            return False
        is_same = not (own_id and call.id) or own_id == call.id
        both = call.name + name
        return is_same and bool(call.name) and any(n.startswith(both) for n in self._required)

    def _begin(self, name: str = "") -> NativeCall:
        call = NativeCall(name=name)
        self._open.append(call)
        return call

    def _last(self) -> NativeCall | None:
        return self._open[-1] if self._open else None


def _dicts(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects in a list, or the one object that stands by itself; anything else is left out."""
    values = value if isinstance(value, list) else [value]
    return (item for item in values if isinstance(item, dict))


def _function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ``function`` of a call; some servers write its fields into the call itself."""
    function = call.get("function")
    if isinstance(function, str):
        return {**call, "name": function}
    return function if isinstance(function, Mapping) else call


def _arguments(function: Mapping[str, Any]) -> Any:
    """A call's arguments under whichever name: ``input`` is Anthropic's, ``args`` LangChain's."""
    return next((function[key] for key in ARGUMENT_KEYS if key in function), None)


def _value_of(arguments: str) -> Any:
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        value = parse_json(arguments)
    return parse_json(value) if isinstance(value, str) else value


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _required(tool: Mapping[str, Any]) -> frozenset[str]:
    parameters = _function(tool).get("parameters")
    required = parameters.get("required") if isinstance(parameters, Mapping) else None
    names = required if isinstance(required, list) else ()
    return frozenset(name for name in names if isinstance(name, str))
