"""Make a request fit its budget: cut only what does not fit, and use the room that there is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stoker.tokens.counting.token_counting import CountRequest, CountStrings, Request, Steps
from stoker.tokens.counting.token_upper_bound import Overheads, prompt_bound
from stoker.tokens.token_errors import ContextLengthExceededError
from stoker.tokens.truncation.context_budget import Budget, asked_max_tokens, clamp_max_tokens
from stoker.tokens.truncation.conversation import (
    IMAGE_TOKENS,
    Conversation,
    Message,
    calls_of,
    images_in,
    piece_of,
    read,
    standing_context,
)
from stoker.tokens.truncation.history import Sizes
from stoker.tokens.truncation.replay import LEAST_USE, Costs, Replay, Tools
from stoker.tokens.truncation.tool_schema_compression import (
    AS_SENT,
    LEVELS,
    SHORT,
    ToolForms,
    forms_of,
)
from stoker.tokens.truncation.tool_selection import ranking

_ATTEMPTS = 5
#: No tokenizer in use makes a token of more than this many bytes of a tool's JSON on average.
_MOST_BYTES_PER_TOKEN = 6
#: One line, always the same. It is there from the first cut on, so that the prefix does not change
#: when turns begin to be left out.
MARKER = "[Parts of this conversation may be left out or shortened to fit the context window.]"


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
    tools = [forms_of(tool) for tool in request.get("tools") or ()]
    whole: int | None = None
    if _least_tokens(tools) <= budget.prompt_tokens:
        (whole,) = yield CountRequest(request)
        if whole <= budget.prompt_tokens:
            return _done(request, whole, budget, Cuts(tools_kept=len(tools)))
    cutter = yield from _measured(request, tools, whole, calibration or Calibration())
    tokens, candidate, cuts = yield from _cut(cutter, budget.prompt_tokens)
    if tokens <= budget.hard_prompt_tokens:
        return _done(candidate, tokens, budget, cuts)
    raise ContextLengthExceededError(tokens, budget.hard_prompt_tokens, budget.max_model_len)


def _cut(cutter: _Cutter, limit: int) -> Steps[tuple[int, Request, Cuts]]:
    """The cut that comes nearest to ``limit`` tokens from below, by exact count."""
    tokens, best, bias = 0, None, 0
    for _ in range(_ATTEMPTS):
        candidate, cuts, total = yield from cutter.cut(limit, bias)
        (tokens,) = yield CountRequest(candidate)
        if best is None or _is_nearer(tokens, best[0], limit):
            best = (tokens, candidate, cuts)
        if limit * LEAST_USE <= tokens <= limit or tokens == total:
            break
        bias += tokens - total
    if best is not None and best[0] <= limit:
        return best
    candidate, cuts, _ = yield from cutter.cut(0, 0)
    (tokens,) = yield CountRequest(candidate)
    return tokens, candidate, cuts


def _is_nearer(tokens: int, best_tokens: int, limit: int) -> bool:
    if tokens > limit:
        return tokens < best_tokens
    return best_tokens > limit or tokens > best_tokens


def _done(request: Request, prompt_tokens: int, budget: Budget, cuts: Cuts) -> Fit:
    max_tokens = budget.clamp(asked_max_tokens(request), prompt_tokens)
    request = clamp_max_tokens(request, max(1, budget.max_model_len - prompt_tokens))
    return Fit(request, prompt_tokens, max_tokens, cuts)


def _least_tokens(tools: Sequence[ToolForms]) -> int:
    """What tools take at least as they are sent. It is the same at each turn of a conversation."""
    return sum(tool.text_bytes[0] for tool in tools) // _MOST_BYTES_PER_TOKEN


def _measured(
    request: Request, tools: Sequence[ToolForms], whole: int | None, calibration: Calibration
) -> Steps[_Cutter]:
    """What the parts of ``request`` take, counted apart, where all of it takes ``whole`` tokens.

    ``None`` where the tools alone take too much: they are not counted as they were sent.
    """
    conversation = read(request["messages"])
    pieces = tuple(piece_of(message) for message in conversation.messages)
    levels = range(SHORT if whole is None else AS_SENT, len(LEVELS))
    texts = tuple(tool.texts[level] for tool in tools for level in levels)
    context, *counts = yield CountStrings((standing_context(conversation), *pieces, *texts))
    messages = _with_overheads(counts[: len(pieces)], conversation.messages, calibration)
    sizes = [math.ceil(n * calibration.tool_factor) for n in counts[len(pieces) :]]
    head = calibration.base_tokens + sum(messages[: conversation.head])
    head_template = head - sum(counts[: conversation.head])
    units = [sum(messages[unit.start : unit.end]) for unit in conversation.units]
    by_tool = (sizes[at : at + len(levels)] for at in range(0, len(sizes), len(levels)))
    by_level = [_by_level(tool, known) for tool, known in zip(tools, by_tool, strict=True)]
    # Not what is left of ``whole``: that differs a little with each request, and so would the cuts.
    as_sent = calibration.tools_base_tokens + sum(sizes[AS_SENT] for sizes in by_level)
    costs = Costs(
        head=head,
        head_template=head_template,
        units=Sizes(conversation, units, partial(_overhead, calibration=calibration), context),
        tools=by_level,
        tools_base=calibration.tools_base_tokens,
        tools_as_sent=_least_tokens(tools) if whole is None else as_sent if tools else 0,
    )
    return _Cutter(request, conversation, tools, costs)


def _by_level(tool: ToolForms, counted: Sequence[int]) -> list[int]:
    """The tokens of a tool at each level, of which the last ones were counted."""
    missing = len(LEVELS) - len(counted)
    per_byte = counted[0] / max(1, tool.text_bytes[missing])
    return [*(math.ceil(size * per_byte) for size in tool.text_bytes[:missing]), *counted]


def _with_overheads(
    counts: Sequence[int], messages: Sequence[Message], calibration: Calibration
) -> list[int]:
    pairs = zip(counts, messages, strict=True)
    return [count + _overhead(message, calibration) for count, message in pairs]


def _overhead(message: Message, calibration: Calibration) -> int:
    # A tool call is wrapped in tags and keys of its own, like a message in a message.
    parts = 1 + 3 * len(calls_of(message))
    return calibration.message_tokens * parts + IMAGE_TOKENS * images_in(message.get("content"))


class _Cutter:
    """One request whose parts are measured, to be cut to any length."""

    def __init__(
        self,
        request: Request,
        conversation: Conversation,
        tools: Sequence[ToolForms],
        costs: Costs,
    ) -> None:
        self._request = request
        self._conversation = conversation
        self._tools = tools
        self._costs = costs
        names = [tool.name for tool in tools]
        self._ranked = Tools(names, ranking(tools, conversation), _named(request))

    def cut(self, limit: int, bias: int) -> Steps[tuple[Request, Cuts, int]]:
        """The request in about ``limit`` tokens, what was cut, and what its parts add up to.

        ``bias`` is by how much that sum has been too low.
        """
        replay = Replay(self._conversation, self._costs, self._ranked, limit, bias)
        yield from replay.run()
        head = replay.system.messages()
        body, shortened = self._body(replay)
        dropped = len(self._conversation.messages) - len(head) - len(body)
        if replay.is_cut:
            head, body = _mark(head, body, dropped)
        request: dict[str, Any] = {**self._request, "messages": [*head, *body]}
        if self._tools:
            _set_tools(request, [self._tools[i].forms[at] for i, at in replay.offer.levels.items()])
        return request, self._cuts(replay, shortened, dropped), replay.total

    def _cuts(self, replay: Replay, shortened: int, dropped: int) -> Cuts:
        levels = replay.offer.levels
        gone = tuple(tool.name for i, tool in enumerate(self._tools) if i not in levels)
        return Cuts(
            schemas=LEVELS[max(levels.values(), default=0)],
            tools_kept=len(levels),
            tools_dropped=gone,
            results_shortened=shortened,
            messages_dropped=dropped,
            system_chars_cut=replay.system.chars_cut,
        )

    def _body(self, replay: Replay) -> tuple[list[Message], int]:
        last = len(self._conversation.units) - 1
        body = replay.history.messages(last) if last >= 0 else []
        original = {id(message) for message in self._conversation.messages}
        return body, sum(id(message) not in original for message in body)


def _named(request: Request) -> frozenset[str]:
    choice = request.get("tool_choice")
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return frozenset([name]) if isinstance(name, str) else frozenset()


def _set_tools(request: dict[str, Any], forms: Sequence[Mapping[str, Any]]) -> None:
    if forms:
        request["tools"] = list(forms)
        return
    for name in ("tools", "tool_choice", "parallel_tool_calls"):
        request.pop(name, None)


def _mark(
    head: list[Message], body: list[Message], dropped: int
) -> tuple[list[Message], list[Message]]:
    """Note in one line that something was left out, where it disturbs no template.

    At the end of the system prompt. Without one, and once turns are left out, as an exchange of
    its own: templates refuse two user messages in a row, and some refuse a system message.
    """
    if not head and dropped:
        said = {"role": "user", "content": MARKER}
        return head, [said, {"role": "assistant", "content": "Understood."}, *body]
    if not head:
        return head, body
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
        base_tokens=base,
        message_tokens=message,
        tools_base_tokens=tools_base,
        tool_factor=factor,
    )
