"""Build the request to send out of the parts that are left of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stoker.tokens.chat_messages import Message
from stoker.tokens.counting.token_counting import Request
from stoker.tokens.truncation.fit_result import Cuts
from stoker.tokens.truncation.likely_tools import LikelyTools
from stoker.tokens.truncation.prompt_parts import PromptParts
from stoker.tokens.truncation.request_measurement import MeasuredRequest
from stoker.tokens.truncation.tool_schema_compression import LEVELS

#: One line, always the same. It is there from the first cut on, so that the prefix does not change
#: when turns begin to be left out.
MARKER = "[Parts of this conversation may be left out or shortened to fit the context window.]"


def assemble(measured: MeasuredRequest, parts: PromptParts) -> tuple[Request, Cuts]:
    """Return the request that sends ``parts``, and what these lack of the client's request."""
    if not parts.is_cut:
        return measured.request, Cuts(tools_kept=len(measured.tools))
    original = measured.conversation.messages
    head = parts.system.messages()
    body = parts.history.messages(parts.last_unit) if parts.last_unit >= 0 else []
    known = {id(message) for message in original}
    dropped = len(original) - len(head) - len(body)
    cuts = _cuts(measured, parts, sum(id(message) not in known for message in body), dropped)
    if measured.likely and parts.tool_set.is_cut:
        body, named = _with_likely_tools(measured.likely, parts, body)
        cuts = replace(cuts, tools_named=named)
    head, body = _mark(head, body, dropped)
    request: dict[str, Any] = {**measured.request, "messages": [*head, *body]}
    if measured.tools:
        sent = parts.tool_set.levels.items()
        _set_tools(request, [measured.tools[i].forms[level] for i, level in sent])
    return request, cuts


def _cuts(measured: MeasuredRequest, parts: PromptParts, shortened: int, dropped: int) -> Cuts:
    levels = parts.tool_set.levels
    return Cuts(
        schemas=LEVELS[max(levels.values(), default=0)],
        tools_kept=len(levels),
        tools_dropped=tuple(t.name for i, t in enumerate(measured.tools) if i not in levels),
        results_shortened=shortened,
        messages_dropped=dropped,
        system_chars_cut=parts.system.chars_cut,
    )


def _with_likely_tools(
    likely: LikelyTools, parts: PromptParts, body: Sequence[Message]
) -> tuple[list[Message], int]:
    """The conversation with a line behind each question, and how many tools the last one names.

    Only tools that are sent are named. Where these change, all questions are read again anyway.
    """
    messages, named = list(body), 0
    for at, unit in enumerate(parts.history.sent_by_message(parts.last_unit)):
        if unit in likely.units:
            names = likely.names(unit, parts.tool_set.levels)
            messages[at] = likely.message(body[at], names)
            named = len(names)
    return messages, named


def _set_tools(request: dict[str, Any], forms: Sequence[Mapping[str, Any]]) -> None:
    if forms:
        request["tools"] = list(forms)
        return
    for name in ("tools", "tool_choice", "parallel_tool_calls"):
        request.pop(name, None)


def _mark(
    head: list[Message], body: list[Message], dropped: int
) -> tuple[list[Message], list[Message]]:
    """Add ``MARKER`` where it breaks no template: at the end of the system prompt.

    Without a system prompt, and once turns are left out, it is an exchange of its own: templates
    refuse two user messages in a row, and some refuse a system message.
    """
    if not head and dropped:
        note = {"role": "user", "content": MARKER}
        return head, [note, {"role": "assistant", "content": "Understood."}, *body]
    if not head:
        return head, body
    last = head[-1]
    content = last.get("content")
    if isinstance(content, list):
        marked: object = [*content, {"type": "text", "text": MARKER}]
    else:
        marked = f"{content}\n{MARKER}" if content else MARKER
    return [*head[:-1], {**last, "content": marked}], body
