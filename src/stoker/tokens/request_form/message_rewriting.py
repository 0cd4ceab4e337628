"""Orders of messages that OpenAI takes, rewritten for templates and servers that refuse them.

Templates of Mistral and Gemma want one system message or none, and users and assistants in turn;
Harmony's wants a call before each result, mistral-common a result for each call. Nothing is lost:
messages are joined, never left out. A short message stands where a template wants one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from stoker.tokens.chat_messages import SYSTEM_ROLES

Message = dict[str, Any]
_Rewriting = Callable[[list[Message]], list[Message]]

#: What stands where a template wants a turn of the other one, who wrote nothing.
_FILLERS = {"user": "Go on.", "assistant": "Understood."}
_NO_RESULT = "There is no result: the call was not run."


def rewritten_messages(
    messages: Sequence[Mapping[str, Any]], names: Iterable[str]
) -> list[dict[str, Any]]:
    """The messages with these of ``REWRITINGS`` applied, in the order of that table."""
    out = [dict(message) for message in messages]
    wanted = frozenset(names)
    for name, rewrite in REWRITINGS.items():
        if name in wanted:
            out = rewrite(out)
    return out


def join_contents(one: Any, other: Any, between: str = "\n") -> Any:
    """The contents of two messages as that of one; parts stay parts."""
    if not one or not other:
        return one or other
    if isinstance(one, str) and isinstance(other, str):
        return f"{one}{between}{other}"
    return [*_parts(one), *_parts(other)]


def with_one_last_answer(messages: list[Message]) -> list[Message]:
    """The messages with one answer at the end, where there are several, and no call without result.

    llama.cpp goes on writing a last message of the assistant, and can do so with one text only.
    """
    if messages and messages[-1].get("role") == "assistant" and _is_open_end(messages):
        return _joined_answers(_with_results(messages))
    return messages


def _is_open_end(messages: Sequence[Message]) -> bool:
    before = messages[-2].get("role") if len(messages) > 1 else None
    return bool(messages[-1].get("tool_calls")) or before == "assistant"


def _joined_answers(messages: Sequence[Message]) -> list[Message]:
    out: list[Message] = []
    for message in messages:
        both = [*out[-1:], message]
        if len(both) == 2 and all(m.get("role") == "assistant" for m in both):
            out[-1] = _joined(out[-1], message)
        else:
            out.append(message)
    return out


def _alternating(messages: list[Message]) -> list[Message]:
    """One system message at the front, then user and assistant in turn.

    An assistant's calls and their results stand within a turn, as the templates count them.
    """
    system = [m for m in messages if m.get("role") in SYSTEM_ROLES]
    out: list[Message] = []
    turn: str | None = None
    for message in messages:
        role = message.get("role")
        if role in SYSTEM_ROLES:
            continue
        if role == "tool" or message.get("tool_calls"):
            if turn is None:
                out.append(_filler("user"))
            _put(out, message)
            turn = "user"  # calls are no turn of their own, nor is the text that they join
            continue
        role = "assistant" if role == "assistant" else "user"
        spoken = {**message, "role": role}
        if turn == role and out[-1].get("role") == role and not out[-1].get("tool_calls"):
            _put(out, spoken)
            continue
        if turn == role or (turn is None and role == "assistant"):
            out.append(_filler("user" if role == "assistant" else "assistant"))
        out.append(spoken)
        turn = role
    return [*_one(system), *out] if out else [{**m, "role": "user"} for m in _one(system)]


def _put(out: list[Message], message: Message) -> None:
    """Append a message, or join it to one of the same speaker."""
    last = out[-1]
    same = message.get("role") != "tool" and last.get("role") == message.get("role")
    if same and not last.get("tool_calls"):
        out[-1] = _joined(last, message)
    else:
        out.append(message)


def _one(messages: Sequence[Message]) -> list[Message]:
    joined: list[Message] = []
    for message in messages:
        joined = [_joined(joined[0], message, "\n\n")] if joined else [message]
    return joined


def _without_system(messages: list[Message]) -> list[Message]:
    """The system messages' text at the beginning of the first user message."""
    system = _one([m for m in messages if m.get("role") in SYSTEM_ROLES])
    rest = [m for m in messages if m.get("role") not in SYSTEM_ROLES]
    if not system:
        return messages
    for index, message in enumerate(rest):
        if message.get("role") == "user":
            content = join_contents(system[0].get("content"), message.get("content"), "\n\n")
            return [*rest[:index], {**message, "content": content}, *rest[index + 1 :]]
    return [{"role": "user", "content": system[0].get("content")}, *rest]


def _paired(messages: list[Message]) -> list[Message]:
    """Every call with a result; results that answer no call as the user's text."""
    asked: set[Any] = set()
    out: list[Message] = []
    for message in messages:
        asked |= {call.get("id") for call in message.get("tool_calls") or ()}
        if message.get("role") == "tool" and message.get("tool_call_id") not in asked:
            content = join_contents("The result of a tool:", message.get("content"))
            out.append({"role": "user", "content": content})
        else:
            out.append(message)
    return _with_results(out)


def _with_results(messages: Sequence[Message]) -> list[Message]:
    out: list[Message] = []
    missing: list[Any] = []
    for message in messages:
        if message.get("role") == "tool":
            missing = [call for call in missing if call != message.get("tool_call_id")]
        else:
            out += map(_no_result, missing)
            missing = [call.get("id") for call in message.get("tool_calls") or ()]
        out.append(message)
    return [*out, *map(_no_result, missing)]


def _no_result(call: Any) -> Message:
    return {"role": "tool", "tool_call_id": call, "content": _NO_RESULT}


def _text_only(messages: list[Message]) -> list[Message]:
    """What is no text as a note, except in the question that is asked now."""
    roles = [message.get("role") for message in messages]
    start = len(roles)
    while start and roles[start - 1] == "user":
        start -= 1
    earlier = [{**m, "content": _noted(m.get("content"))} for m in messages[:start]]
    return [*earlier, *messages[start:]]


def _noted(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [part if part.get("type") == "text" else _note(part) for part in content]


def _note(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(part.get("type")).removesuffix("_url")
    return {"type": "text", "text": f"[An attachment ({kind}) was left out: you read text only.]"}


def _joined(one: Message, other: Message, between: str = "\n") -> Message:
    content = join_contents(one.get("content"), other.get("content"), between)
    return {**one, **other, "content": content}


def _filler(role: str) -> Message:
    return {"role": role, "content": _FILLERS[role]}


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


#: By name, in the order in which they are tried and applied.
REWRITINGS: Mapping[str, _Rewriting] = {
    "text-only": _text_only,
    "paired-calls": _paired,
    "roles-in-turn": _alternating,
    "no-system-role": _without_system,
}
#: Those that look for results of tools.
OF_RESULTS = frozenset({"text-only", "paired-calls"})
