"""Turn a whole answer into a stream's events and back, where a server sent the other form.

Some servers ignore ``stream`` where tools are offered and send one JSON body; others stream always.
Pure: bytes or values in, values out. The paths of OpenAI's chats and completions are known here;
an answer of another path has no ``choices`` and is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from stoker.gateway.relay import event_framing, normal_message
from stoker.gateway.relay.event_framing import EventFramer
from stoker.gateway.usage.usage_report import UsageReport

_Value = dict[str, Any]
#: Fields of a message that are sent in pieces.
_JOINED = ("content", "refusal", *normal_message.REASONING)
_CALLS = ("tool_calls", "function_call")


def as_events(body: bytes) -> list[_Value] | None:
    """The events with the content of a JSON body; ``None`` where it is no answer with choices.

    A body of one event a line, without ``data:`` before them, is taken too.
    """
    answers = _values_in(body)
    if not answers or not all(isinstance(answer.get("choices"), list) for answer in answers):
        return None
    return [event for answer in answers for event in _events_of(answer)]


def events_in(body: bytes) -> list[_Value] | None:
    """The events of a stream that is complete; ``None`` where ``body`` is anything else."""
    framer = EventFramer()
    data = framer.feed(body)
    payloads = [event_framing.payload(event) for event in event_framing.split(data)]
    payloads.append(event_framing.payload(framer.finish()))
    events = [value for payload in payloads for value in _values_in(payload)]
    is_done = any(payload.strip() == b"[DONE]" for payload in payloads)
    return events if is_done or any(map(_is_last, events)) else None


def is_chat(event: _Value) -> bool:
    """Whether an event is one of a chat, not of a completion."""
    return any("delta" in choice for choice in _choices_of([event]))


def joined(events: Sequence[_Value], asked: int = 1) -> _Value | None:
    """The whole answer that these events add up to; ``None`` where no event has a choice.

    ``asked`` is how many answers to each prompt were asked for.
    """
    choices: dict[int, _Value] = {}
    for choice in _choices_of(events):
        given = choice.get("index")
        index = given if isinstance(given, int) else 0
        _add(choices.setdefault(index, {"index": index, "finish_reason": None}), choice)
    if not choices:
        return None
    answer = {name: value for event in events for name, value in event.items() if value is not None}
    if len(choices) > 1 and isinstance(answer.get("usage"), dict):
        answer["usage"] = _summed_usage(answer["usage"], events, asked)
    kind = str(answer.get("object") or "chat.completion").removesuffix(".chunk")
    return {**answer, "object": kind, "choices": [choices[index] for index in sorted(choices)]}


def _summed_usage(last: _Value, events: Iterable[_Value], asked: int) -> _Value:
    """The usage of all choices, which a server may have reported one by one; ``last`` the last."""
    report = UsageReport(asked)
    for event in events:
        report.note(event)
    counts = report.usage or {}
    return {**last, **counts, "total_tokens": sum(counts.values())}


def _values_in(body: bytes) -> list[_Value]:
    """The JSON object in ``body``, or the objects of its lines; none where it is anything else."""
    try:
        values = [orjson.loads(body)]
    except orjson.JSONDecodeError:
        try:
            values = [orjson.loads(line) for line in body.splitlines() if line.strip()]
        except orjson.JSONDecodeError:
            return []
    return values if all(isinstance(value, dict) for value in values) else []


def _events_of(answer: _Value) -> Iterator[_Value]:
    kept = {name: value for name, value in answer.items() if name not in ("choices", "usage")}
    for choice in answer["choices"]:
        if isinstance(choice, dict) and isinstance(choice.get("message"), dict):
            yield from _chat_events({**kept, "object": "chat.completion.chunk"}, choice)
        else:
            yield {**kept, "choices": [choice]}
    if answer.get("usage"):
        yield {**kept, "choices": [], "usage": answer["usage"]}


def _chat_events(kept: _Value, choice: _Value) -> Iterator[_Value]:
    """The message, then its calls, then the finish reason."""
    index = choice.get("index", 0)
    message = normal_message.normal(choice["message"])
    calls = message.get("tool_calls") or []
    said = {name: value for name, value in message.items() if name not in _CALLS}
    beginning = {"index": index, "delta": {"role": "assistant", **said}, "finish_reason": None}
    if choice.get("logprobs"):
        beginning["logprobs"] = choice["logprobs"]
    yield {**kept, "choices": [beginning]}
    for number, call in enumerate(calls if isinstance(calls, list) else [calls]):
        if isinstance(call, dict):
            delta = {"tool_calls": [{**call, "index": number}]}
            yield {**kept, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
    reason = choice.get("finish_reason") or "stop"
    yield {**kept, "choices": [{"index": index, "delta": {}, "finish_reason": reason}]}


def _choices_of(events: Iterable[_Value]) -> Iterator[_Value]:
    for event in events:
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                yield choice


def _is_last(event: _Value) -> bool:
    return "error" in event or any(choice.get("finish_reason") for choice in _choices_of([event]))


def _add(whole: _Value, choice: Mapping[str, Any]) -> None:
    """Add one event's choice to the choice of the whole answer."""
    whole["finish_reason"] = choice.get("finish_reason") or whole["finish_reason"]
    if "logprobs" in choice:
        whole.setdefault("logprobs", None)
    if isinstance(choice.get("logprobs"), dict):
        whole["logprobs"] = _extended(whole["logprobs"] or {}, choice["logprobs"])
    if isinstance(choice.get("text"), str):
        whole["text"] = whole.get("text", "") + choice["text"]
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return
    message = whole.setdefault("message", {"role": "assistant", "content": None})
    for name, value in delta.items():
        if name in _JOINED and isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        elif name == "tool_calls":
            message.setdefault(name, []).extend(_without_index(call) for call in value)
        elif value is not None:
            message[name] = value


def _without_index(call: Mapping[str, Any]) -> _Value:
    return {name: value for name, value in call.items() if name != "index"}


def _extended(logprobs: _Value, more: Mapping[str, Any]) -> _Value:
    lists = {name: values for name, values in more.items() if isinstance(values, list)}
    return {**logprobs, **{n: [*(logprobs.get(n) or []), *v] for n, v in lists.items()}}
