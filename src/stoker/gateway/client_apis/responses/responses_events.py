"""The chunks of a streamed chat as the events of a streamed response.

The order of events: https://platform.openai.com/docs/api-reference/responses-streaming. An item is
added, its text comes in deltas, and then all of it once more; items follow one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.gateway.client_apis import chat_parts
from stoker.gateway.client_apis.client_api import Asked, named_event
from stoker.gateway.client_apis.responses import response_object
from stoker.gateway.client_apis.responses.response_object import ResponseObject

_Value = dict[str, Any]

#: The errors that clients act on; any other one is the server's.
_ERROR_CODES = frozenset({"context_length_exceeded", "invalid_prompt", "rate_limit_exceeded"})
#: The prefix of an item's id, by its type.
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "local_shell_call": "lsh",
}
#: What a call's text is named in its item and in its events.
_CALL_TEXTS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}


class ResponsesEvents:
    """One streamed answer: an ``ApiStream``."""

    def __init__(self, asked: Asked) -> None:
        self._response = ResponseObject(asked)
        self._numbers = 0
        self._begun = False
        self._output: list[_Value] = []
        self._open: _OpenItem | None = None
        self._finish_reason: str | None = None
        self._usage: _Value | None = None

    def event(self, chunk: Mapping[str, Any]) -> bytes:
        """What one chunk of a chat becomes."""
        out = b"" if self._begun else self._begin()
        out += self._choice(chat_parts.first_choice(chunk))
        if not chunk.get("choices") or chunk.get("usage"):
            self._usage = response_object.usage_in(chunk) or self._usage
        return out

    def end(self) -> bytes:
        """The end of an answer that is complete."""
        out = b"" if self._begun else self._begin()
        out += self._close(response_object.item_status(self._finish_reason))
        response = self._response.ended(self._finish_reason, self._output, self._usage)
        return out + self._event(f"response.{response['status']}", response=response)

    def error(self, message: str, code: str | None) -> bytes:
        """The end of an answer that broke off: clients read the reason, and may ask again."""
        out = b"" if self._begun else self._begin()
        known = code if code in _ERROR_CODES else "server_error"
        rest = [self._open.item("incomplete")] if self._open else []
        response = self._response.failed(message, known, [*self._output, *rest])
        return out + self._event("response.failed", response=response)

    def _begin(self) -> bytes:
        self._begun = True
        response = self._response.begun()
        return b"".join(
            self._event(name, response=response)
            for name in ("response.created", "response.in_progress")
        )

    def _choice(self, choice: Mapping[str, Any]) -> bytes:
        delta, out = chat_parts.part_of(choice), b""
        thought, text = chat_parts.thought_in(delta), chat_parts.text_in(delta)
        if thought:
            out += self._text("reasoning", thought, choice)
        if text:
            out += self._text("message", text, choice)
        for call in chat_parts.calls_in(delta):
            out += self._call(call)
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        return out

    def _text(self, kind: str, text: str, choice: Mapping[str, Any]) -> bytes:
        """A piece of text or of thinking."""
        out, open_item = b"", self._open
        if open_item is None or open_item.kind != kind:
            out = self._close("completed")
            open_item = self._open = _OpenItem(kind, self._new_id(kind), len(self._output))
            out += self._event(
                "response.output_item.added",
                output_index=open_item.index,
                item=open_item.added(),
            )
            if kind == "message":
                out += self._event("response.content_part.added", **open_item.place, part=_NO_TEXT)
        logprobs = response_object.logprobs_in(choice) if kind == "message" else []
        open_item.add(text, logprobs)
        more = {"logprobs": logprobs} if kind == "message" else {}
        return out + self._event(f"{open_item.events}.delta", **open_item.place, delta=text, **more)

    def _call(self, call: Mapping[str, Any]) -> bytes:
        """A whole call."""
        out = self._close("completed")
        fields = self._response.call(call)
        kind, index = fields["type"], len(self._output)
        item = {"id": self._new_id(kind), **fields, "status": "completed"}
        name, events = _CALL_TEXTS.get(kind, ("", ""))
        begun = {**item, "status": "in_progress"}
        if name:
            begun[name] = ""
        out += self._event("response.output_item.added", output_index=index, item=begun)
        if name:
            place = {"item_id": item["id"], "output_index": index}
            out += self._event(f"{events}.delta", **place, delta=item[name])
            out += self._event(f"{events}.done", **place, **{name: item[name]})
        return out + self._done(index, item)

    def _close(self, status: str) -> bytes:
        """The end of the item that is open, if one is."""
        open_item, self._open = self._open, None
        if open_item is None:
            return b""
        item = open_item.item(status)
        part = item["content"][0]
        more = {"logprobs": part["logprobs"]} if open_item.kind == "message" else {}
        out = self._event(f"{open_item.events}.done", **open_item.place, text=part["text"], **more)
        if open_item.kind == "message":
            out += self._event("response.content_part.done", **open_item.place, part=part)
        return out + self._done(open_item.index, item)

    def _done(self, index: int, item: _Value) -> bytes:
        self._output.append(item)
        return self._event("response.output_item.done", output_index=index, item=item)

    def _new_id(self, kind: str) -> str:
        return self._response.item_id(_PREFIXES[kind], len(self._output))

    def _event(self, name: str, **fields: Any) -> bytes:
        number, self._numbers = self._numbers, self._numbers + 1
        return named_event(name, {"type": name, "sequence_number": number, **fields})


#: A message's content before its first text.
_NO_TEXT = response_object.text_part("")


class _OpenItem:
    """An item whose text is still coming."""

    def __init__(self, kind: str, item_id: str, index: int) -> None:
        self.kind = kind
        self.index = index
        self._id = item_id
        self._texts: list[str] = []
        self._logprobs: list[Any] = []
        self.place = {"item_id": item_id, "output_index": index, "content_index": 0}
        self.events = f"response.{'output' if kind == 'message' else kind}_text"

    def add(self, text: str, logprobs: list[Any]) -> None:
        self._texts.append(text)
        self._logprobs += logprobs

    def added(self) -> _Value:
        """The item before its first text."""
        if self.kind == "message":
            return response_object.message_item(self._id, [], "in_progress")
        return response_object.reasoning_item(self._id, "", "in_progress")

    def item(self, status: str) -> _Value:
        """The item with its text so far."""
        text = "".join(self._texts)
        if self.kind == "message":
            part = response_object.text_part(text, self._logprobs)
            return response_object.message_item(self._id, [part], status)
        return response_object.reasoning_item(self._id, text, status)


def whole_output(answer: Mapping[str, Any], asked: Asked) -> _Value:
    """A chat's whole answer as a response."""
    response = ResponseObject(asked)
    choice = chat_parts.first_choice(answer)
    finish_reason = choice.get("finish_reason")
    output = _items(response, choice, response_object.item_status(finish_reason))
    return response.ended(finish_reason, output, response_object.usage_in(answer))


def _items(response: ResponseObject, choice: Mapping[str, Any], status: str) -> list[_Value]:
    items: list[_Value] = []
    message = chat_parts.part_of(choice)
    thought, text = chat_parts.thought_in(message), chat_parts.text_in(message)
    calls = chat_parts.calls_in(message)
    if thought:
        own = "completed" if text or calls else status
        items.append(response_object.reasoning_item(response.item_id("rs", 0), thought, own))
    if text:
        part = response_object.text_part(text, response_object.logprobs_in(choice))
        own = "completed" if calls else status
        item_id = response.item_id("msg", len(items))
        items.append(response_object.message_item(item_id, [part], own))
    for call in calls:
        fields = response.call(call)
        item_id = response.item_id(_PREFIXES[fields["type"]], len(items))
        items.append({"id": item_id, **fields, "status": "completed"})
    return items
