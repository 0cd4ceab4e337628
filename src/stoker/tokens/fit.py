"""Make a request fit its budget, cutting in a fixed order and only as far as needed.

Nothing is remembered between requests. A client sends the whole conversation each time, so the
fitter replays it: it walks through the turns as they came, and where one did not fit, cuts down
to a lower mark. The next turn's replay makes the same cuts at the same places, so the kept
prompt only grows at its end until the next step, and the engine's prefix cache hits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stoker.tokens.bound import Overheads, prompt_bound
from stoker.tokens.budget import Budget, asked_max_tokens, clamp_max_tokens
from stoker.tokens.choose import Candidates, choose, ranking
from stoker.tokens.conversation import (
    IMAGE_TOKENS,
    Conversation,
    Message,
    calls_of,
    images_in,
    middle_out,
    piece_of,
    read,
    shorten,
    text_of,
    used_tools,
)
from stoker.tokens.count import CountRequest, CountStrings, Request, Steps
from stoker.tokens.errors import ContextLengthExceededError
from stoker.tokens.schemas import LEVELS, MINIMAL, ToolForms, forms_of

#: Where a cut ends: low enough that several turns fit before the next one.
_LOWER_MARK = 0.72
#: What system prompt, tools and the last message may take, so that turns have room at all.
_FIXED_MARK = 0.6
#: The part of the prompt that tools keep however long the system prompt is. Where it is time that
#: is short, the machine has no GPU and its model is small: few tools cost less and confuse less.
_TOOLS_SHARE = 0.37
_TIMED_TOOLS_SHARE = 0.18
#: The system prompt is never cut below this part of the prompt, nor below a paragraph.
_SYSTEM_SHARE = 0.1
_LEAST_SYSTEM_TOKENS = 64
#: No tokenizer in use makes a token of more than this many bytes of a tool's JSON on average,
#: so a text above it is over the limit without being counted.
_MOST_BYTES_PER_TOKEN = 6
#: How many characters of a tool result stay, for each token of the prompt's limit: 9% of the
#: prompt for an old result and 30% for the newest at 3 characters a token.
_OLD_RESULT_CHARS, _NEW_RESULT_CHARS = 0.25, 0.9
_LEAST_RESULT_CHARS, _TINY_RESULT_CHARS = 240, 80
_ATTEMPTS = 4
_SAFETY_TOKENS = 16
#: One line, always the same, so that it does not change the prefix when more is left out.
MARKER = "[Earlier messages of this conversation were left out to fit the context window.]"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a template adds to the pieces that are counted apart. See ``calibrate``."""

    base_tokens: int = 48
    message_tokens: int = 8
    tools_base_tokens: int = 256
    #: Tokens that the template makes of a tool, for each token of its JSON in one line.
    tool_factor: float = 1.15


@dataclass(frozen=True, slots=True)
class Cuts:
    """What was cut: names and counts, never content."""

    schemas: str = LEVELS[0]
    tools_kept: int = 0
    tools_dropped: tuple[str, ...] = ()
    results_shortened: int = 0
    messages_dropped: int = 0
    system_chars_cut: int = 0

    @property
    def any(self) -> bool:
        """Whether anything was cut at all."""
        return self != Cuts(tools_kept=self.tools_kept)


@dataclass(frozen=True, slots=True)
class Fit:
    """A request that fits its budget, and what was done to make it fit."""

    request: Request
    #: ``None`` where the request fits so surely that nothing was counted.
    prompt_tokens: int | None
    #: What to send as ``max_tokens``; already set in ``request``.
    max_tokens: int | None
    cuts: Cuts = field(default_factory=Cuts)

    def header(self) -> str:
        """Return the record for the response header ``x-stoker-fit``."""
        cuts = self.cuts
        if not cuts.any:
            return "none"
        total = cuts.tools_kept + len(cuts.tools_dropped)
        parts = [
            f"schemas={cuts.schemas.replace(' ', '-')}" if cuts.schemas != LEVELS[0] else "",
            f"tools={total}>{cuts.tools_kept}" if cuts.tools_dropped else "",
            f"results={cuts.results_shortened}" if cuts.results_shortened else "",
            f"messages=-{cuts.messages_dropped}" if cuts.messages_dropped else "",
            f"system=-{cuts.system_chars_cut}ch" if cuts.system_chars_cut else "",
            f"tokens={self.prompt_tokens}",
        ]
        return "; ".join(part for part in parts if part)


def fit(
    request: Request,
    budget: Budget,
    *,
    overheads: Overheads | None = None,
    calibration: Calibration | None = None,
) -> Steps[Fit]:
    """Return a request that fits ``budget``; ask for counts only if it might not fit.

    Raises ``ContextLengthExceededError`` where even the last message alone is too long. A
    budget that is short of time rather than space is exceeded instead.
    """
    bound = prompt_bound(request, overheads or Overheads())
    asked = asked_max_tokens(request)
    fits = bound is not None and bound <= budget.prompt_tokens
    if fits and (bound or 0) + (asked or 0) <= budget.max_model_len:
        return Fit(request, None, asked, Cuts(tools_kept=len(request.get("tools") or ())))
    cutter = _Cutter(request, budget, calibration or Calibration())
    if not (yield from cutter.is_surely_over()):
        (tokens,) = yield CountRequest(request)
        if tokens <= budget.prompt_tokens:
            return _done(request, tokens, budget, Cuts(tools_kept=len(cutter.tools)))
    target = budget.prompt_tokens
    for attempt in range(_ATTEMPTS):
        candidate, cuts = yield from cutter.cut(target if attempt < _ATTEMPTS - 1 else 0)
        (tokens,) = yield CountRequest(candidate)
        if tokens <= budget.prompt_tokens:
            return _done(candidate, tokens, budget, cuts)
        target -= tokens - budget.prompt_tokens + _SAFETY_TOKENS
    if tokens <= budget.hard_prompt_tokens:
        return _done(candidate, tokens, budget, cuts)
    raise ContextLengthExceededError(tokens, budget.hard_prompt_tokens, budget.max_model_len)


def _done(request: Request, prompt_tokens: int, budget: Budget, cuts: Cuts) -> Fit:
    max_tokens = budget.clamp(asked_max_tokens(request), prompt_tokens)
    request = clamp_max_tokens(request, max(1, budget.max_model_len - prompt_tokens))
    return Fit(request, prompt_tokens, max_tokens, cuts)


@dataclass(slots=True)
class _State:
    """What has been cut so far in the replay."""

    level: int = 0
    #: The tokens that tools may take; ``None`` while all are kept.
    tools_limit: int | None = None
    #: The most characters of a result in each unit that was shortened.
    caps: dict[int, int] = field(default_factory=dict)
    #: Units before this one are dropped ...
    start: int = 0
    #: ... but for the user message that the current turn answers.
    pinned: int | None = None
    system_tokens: int | None = None


class _Cutter:
    """Cuts one request. The order of the steps is that of ``_steps``."""

    def __init__(self, request: Request, budget: Budget, calibration: Calibration) -> None:
        self.request = request
        self.calibration = calibration
        self.limit = budget.prompt_tokens
        self.is_timed = budget.prompt_tokens < budget.hard_prompt_tokens
        self.conversation: Conversation = read(request["messages"])
        self.tools: list[ToolForms] = [forms_of(tool) for tool in request.get("tools") or ()]
        sizes = [tool.text_bytes for tool in self.tools]
        self._tool_bytes: list[int] = [sum(n) for n in zip(*sizes, strict=True)] or [0]
        self._tool_tokens: dict[int, list[int]] = {}
        self._tool_sizes: dict[tuple[int, int | None], int] = {}
        self._unit_tokens: list[int] = []
        self._capped_tokens: dict[tuple[int, int], int] = {}
        self._head_tokens = 0
        self._candidates: Candidates | None = None
        self._kept: dict[int, frozenset[str]] = {}
        self.state = _State()

    # What things cost

    def is_surely_over(self) -> Steps[bool]:
        """Say whether the request is too long beyond doubt, so that it need not be counted."""
        yield from self._count_messages()
        total = self._head_tokens + sum(self._unit_tokens)
        total += self._tool_bytes[0] // _MOST_BYTES_PER_TOKEN
        return total > self.limit

    def _count_messages(self) -> Steps[None]:
        if self._unit_tokens:
            return
        conversation = self.conversation
        counts = yield CountStrings(tuple(piece_of(m) for m in conversation.messages))
        tokens = [
            count + self._message_overhead(message)
            for count, message in zip(counts, conversation.messages, strict=True)
        ]
        self._head_tokens = self.calibration.base_tokens + sum(tokens[: conversation.head])
        self._unit_tokens = [sum(tokens[unit.start : unit.end]) for unit in conversation.units]

    def _message_overhead(self, message: Message) -> int:
        # A tool call is wrapped in tags and keys of its own, like a message in a message.
        parts = 1 + 3 * len(calls_of(message))
        images = IMAGE_TOKENS * images_in(message.get("content"))
        return self.calibration.message_tokens * parts + images

    def _tokens_of_tools(self, level: int) -> Steps[list[int]]:
        if level not in self._tool_tokens:
            factor = self.calibration.tool_factor
            counts = yield CountStrings(tuple(tool.texts[level] for tool in self.tools))
            self._tool_tokens[level] = [math.ceil(count * factor) + 1 for count in counts]
        return self._tool_tokens[level]

    def _tools_size(self, limit: int) -> Steps[int]:
        """Return the tokens of the tools that are kept, at the state's level.

        Tools that are over ``limit`` beyond doubt are not counted: tokenizing them costs most.
        """
        level, tools_limit = self.state.level, self.state.tools_limit
        if not self.tools:
            return 0
        base = self.calibration.tools_base_tokens
        least = base + self._tool_bytes[level] // _MOST_BYTES_PER_TOKEN
        if tools_limit is None and least > limit:
            return least
        if (level, tools_limit) not in self._tool_sizes:
            tokens = yield from self._tokens_of_tools(level)
            kept = yield from self._kept_tools()
            pairs = zip(self.tools, tokens, strict=True)
            size = base + sum(count for tool, count in pairs if tool.name in kept)
            self._tool_sizes[level, tools_limit] = size
        return self._tool_sizes[level, tools_limit]

    def _kept_tools(self) -> Steps[frozenset[str]]:
        limit = self.state.tools_limit
        if limit is None:
            return frozenset(tool.name for tool in self.tools)
        if limit not in self._kept:
            tokens = yield from self._tokens_of_tools(MINIMAL)
            protected = used_tools(self.conversation.messages) | _named(self.request)
            names = tuple(tool.name for tool in self.tools)
            ranks = ranking(self.tools, self.conversation)
            candidates = Candidates(names, tuple(tokens), protected, ranks)
            self._kept[limit] = choose(candidates, limit)
        return self._kept[limit]

    def _unit_size(self, index: int) -> int:
        cap = self.state.caps.get(index)
        return self._unit_tokens[index] if cap is None else self._capped(index, cap)

    def _capped(self, index: int, cap: int) -> int:
        """Estimate a shortened unit from its length; it need not be counted again."""
        if (index, cap) not in self._capped_tokens:
            self._capped_tokens[index, cap] = self._estimate_capped(index, cap)
        return self._capped_tokens[index, cap]

    def _estimate_capped(self, index: int, cap: int) -> int:
        unit = self.conversation.units[index]
        messages = self.conversation.messages[unit.start : unit.end]
        before = sum(len(piece_of(message)) for message in messages)
        after = sum(len(piece_of(shorten(message, cap))) for message in messages)
        if after == before:
            return self._unit_tokens[index]
        return math.ceil(self._unit_tokens[index] * after / before) + 12 * len(messages)

    def _history_size(self, last: int) -> int:
        pinned = self.state.pinned
        total = sum(self._unit_size(index) for index in range(self.state.start, last + 1))
        return total if pinned is None else total + self._unit_size(pinned)

    def _total(self, last: int, limit: int) -> Steps[int]:
        """Return the tokens of the prompt, or some number above ``limit`` if it is over that."""
        system = self.state.system_tokens
        others = (self._head_tokens if system is None else system) + self._history_size(last)
        return others + (yield from self._tools_size(limit - others))

    # The replay

    def cut(self, limit: int) -> Steps[tuple[Request, Cuts]]:
        """Return the request cut to ``limit`` tokens as far as can be told without counting it."""
        yield from self._count_messages()
        self.state = _State()
        self.limit = limit
        units = self.conversation.units
        for last in range(len(units)):
            role = self.conversation.messages[units[last].end - 1].get("role")
            if role == "assistant" and last < len(units) - 1:
                continue  # no request ended here: the user had not answered yet
            total = yield from self._total(last, limit)
            if total > limit:
                yield from self._make_room(last)
        return (yield from self._build())

    def _make_room(self, last: int) -> Steps[None]:
        mark = int(self.limit * _LOWER_MARK)
        yield from self._shorten_schemas(last, mark)
        if (yield from self._total(last, mark)) <= mark:
            return
        self._drop_tools()
        steps = (
            self._shorten_old_results,
            self._drop_turns,
            self._shorten_newest,
            self._shorten_system,
            self._last_resort,
        )
        for step in steps:
            if (yield from self._total(last, mark)) <= mark:
                return
            yield from step(last, mark)

    def _shorten_schemas(self, last: int, mark: int) -> Steps[None]:
        while self.tools and self.state.level < MINIMAL:
            if (yield from self._total(last, mark)) <= mark:
                return
            self.state.level += 1

    def _drop_tools(self) -> None:
        if self.tools and self.state.tools_limit is None:
            by_system = self.limit * _FIXED_MARK - self._head_tokens
            share = max(self.limit * _TOOLS_SHARE, by_system)
            if self.is_timed:
                share = self.limit * _TIMED_TOOLS_SHARE
            self.state.tools_limit = int(share) - self.calibration.tools_base_tokens

    def _shorten_old_results(self, last: int, mark: int) -> Steps[None]:
        cap = max(_LEAST_RESULT_CHARS, int(self.limit * _OLD_RESULT_CHARS))
        total = yield from self._total(last, mark)
        for index in range(self.state.start, last):
            if total <= mark:
                return
            if self.state.caps.get(index, cap + 1) > cap:
                total -= self._cap(index, cap)

    def _cap(self, index: int, cap: int) -> int:
        """Shorten a unit and return what that saves; leave it alone if it saves nothing."""
        before = self._unit_size(index)
        saved = before - self._capped(index, cap)
        if saved <= 0:
            return 0
        self.state.caps[index] = cap
        return saved

    def _drop_turns(self, last: int, mark: int) -> Steps[None]:
        state = self.state
        user = self.conversation.last_user(last + 1)
        units = self.conversation.units
        for start in range(state.start + 1, last + 1):
            is_step = user is None or start > user
            if not is_step and units[start].role != "user":
                continue
            state.start = start
            state.pinned = user if user is not None and start > user else None
            if (yield from self._total(last, mark)) <= mark:
                return

    def _shorten_newest(self, last: int, mark: int) -> Steps[None]:
        if (yield from self._total(last, self.limit)) > self.limit:
            self._cap(last, max(_LEAST_RESULT_CHARS, int(self.limit * _NEW_RESULT_CHARS)))

    def _shorten_system(self, last: int, mark: int) -> Steps[None]:
        """Shorten the system prompt where it leaves the turns no room, now or at any time."""
        state = self.state
        head = self._head_tokens if state.system_tokens is None else state.system_tokens
        tools = yield from self._tools_size(self.limit)
        user = self.conversation.last_user(last + 1)
        fixed = head + tools + (0 if user is None else self._unit_size(user))
        total = head + tools + self._history_size(last)
        if total <= self.limit and fixed <= mark:
            return
        over = max(fixed - int(self.limit * _FIXED_MARK), total - self.limit)
        least = max(_LEAST_SYSTEM_TOKENS, int(self.limit * _SYSTEM_SHARE))
        if self.conversation.head and head > least:
            state.system_tokens = max(least, head - over)

    def _last_resort(self, last: int, mark: int) -> Steps[None]:
        caps = (max(_LEAST_RESULT_CHARS, int(self.limit * _OLD_RESULT_CHARS)), _TINY_RESULT_CHARS)
        for cap in caps:
            if (yield from self._total(last, self.limit)) <= self.limit:
                return
            self._cap(last, cap)
        for part in (2, 4, 0):
            if (yield from self._total(last, self.limit)) <= self.limit or not self.tools:
                return
            share = int(self.limit * _TOOLS_SHARE) // part if part else 0
            self.state.tools_limit = min(self.state.tools_limit or 0, share)

    # The result

    def _build(self) -> Steps[tuple[Request, Cuts]]:
        kept = yield from self._kept_tools()
        head, chars_cut = self._system()
        body, shortened, dropped = self._body()
        if dropped:
            head, body = _mark(head, body)
        request: dict[str, Any] = {**self.request, "messages": [*head, *body]}
        if self.tools:
            _set_tools(request, self.tools, kept, self.state.level)
        gone = tuple(tool.name for tool in self.tools if tool.name not in kept)
        cuts = Cuts(
            schemas=LEVELS[self.state.level],
            tools_kept=len(self.tools) - len(gone),
            tools_dropped=gone,
            results_shortened=shortened,
            messages_dropped=dropped,
            system_chars_cut=chars_cut,
        )
        return request, cuts

    def _system(self) -> tuple[list[Message], int]:
        head = list(self.conversation.messages[: self.conversation.head])
        tokens = self.state.system_tokens
        if tokens is None or not head:
            return head, 0
        part = tokens / max(1, self._head_tokens)
        out = [_shorten_text(message, part) for message in head]
        before, after = (sum(len(text_of(m.get("content"))) for m in ms) for ms in (head, out))
        return out, before - after

    def _body(self) -> tuple[list[Message], int, int]:
        state, units = self.state, self.conversation.units
        indices = list(range(state.start, len(units)))
        if state.pinned is not None:
            indices.insert(0, state.pinned)
        body: list[Message] = []
        shortened = 0
        for index in indices:
            for message in self.conversation.messages[units[index].start : units[index].end]:
                cap = state.caps.get(index)
                new = message if cap is None else shorten(message, cap)
                shortened += new is not message
                body.append(new)
        return body, shortened, len(self.conversation.messages) - self.conversation.head - len(body)


def _named(request: Request) -> frozenset[str]:
    choice = request.get("tool_choice")
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return frozenset([name]) if isinstance(name, str) else frozenset()


def _set_tools(
    request: dict[str, Any], tools: Sequence[ToolForms], kept: frozenset[str], level: int
) -> None:
    forms = [tool.forms[level] for tool in tools if tool.name in kept]
    if forms:
        request["tools"] = forms
        return
    for name in ("tools", "tool_choice", "parallel_tool_calls"):
        request.pop(name, None)


def _shorten_text(message: Message, part: float) -> Message:
    text = text_of(message.get("content"))
    return {**message, "content": middle_out(text, int(len(text) * part))}


def _mark(head: list[Message], body: list[Message]) -> tuple[list[Message], list[Message]]:
    """Say in one line that something was left out, where it disturbs no template.

    At the end of the system prompt; without one, as an exchange of its own, because templates
    refuse two user messages in a row and some refuse a system message.
    """
    if not head:
        said = {"role": "user", "content": MARKER}
        return head, [said, {"role": "assistant", "content": "Understood."}, *body]
    last = head[-1]
    content = last.get("content")
    if isinstance(content, list):
        marked: object = [*content, {"type": "text", "text": MARKER}]
    else:
        marked = f"{content}\n{MARKER}" if content else MARKER
    return [*head[:-1], {**last, "content": marked}], body


#: Two small tools that differ in everything, to measure what a template makes of a tool.
_PROBE_TOOLS: tuple[Mapping[str, Any], ...] = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {
                    key: {"type": "string", "description": what} for key, what in keys.items()
                },
                "required": list(keys),
            },
        },
    }
    for name, description, keys in (
        ("read_file", "Read a file.", {"path": "Where the file is.", "encoding": "Its encoding."}),
        ("run_command", "Run a command.", {"command": "What to run.", "directory": "Where."}),
    )
)


def calibrate() -> Steps[Calibration]:
    """Measure with a few tiny requests what a backend's template adds to a message and a tool.

    Ask once for each backend.
    """
    user = {"role": "user", "content": "Hello there, how are you?"}
    answer = {"role": "assistant", "content": "Hello there, how are you?"}
    texts = ("Hello there, how are you?", *(forms_of(tool).texts[0] for tool in _PROBE_TOOLS))
    said, first, second = yield CountStrings(texts)
    (one,) = yield CountRequest({"messages": [user]})
    (three,) = yield CountRequest({"messages": [user, answer, user]})
    message = max(2, math.ceil((three - one) / 2) - said)
    base = max(0, one - said - message)
    (with_one,) = yield CountRequest({"messages": [user], "tools": list(_PROBE_TOOLS[:1])})
    (with_two,) = yield CountRequest({"messages": [user], "tools": list(_PROBE_TOOLS)})
    factor = max(0.2, (with_two - with_one) / second)
    tools_base = max(0, math.ceil(with_one - one - factor * first))
    return Calibration(
        base_tokens=base + 8,
        message_tokens=message + 1,
        tools_base_tokens=tools_base + 8,
        tool_factor=factor,
    )
