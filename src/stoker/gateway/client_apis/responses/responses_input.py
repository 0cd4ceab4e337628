"""The items of a conversation in Responses as the messages of a chat.

A chat has an answer's thinking, text and calls in one message, Responses in an item for each.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.client_apis.client_api import wrong
from stoker.gateway.client_apis.responses.responses_tools import (
    LOCAL_SHELL,
    chat_name,
    custom_arguments,
)
from stoker.tokens import request_form

_Item = Mapping[str, Any]
_Message = dict[str, Any]

_TEXTS = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
#: https://platform.openai.com/docs/api-reference/responses/create
_ROLES = frozenset({"user", "assistant", "system", "developer"})
#: What a chat knows of OpenAI's details of images; the others mean the default.
_DETAILS = frozenset({"low", "high"})
#: Files of these types are text, whatever else their names promise.
_TEXT_FILES = ("text/", "application/json", "application/xml", "application/x-yaml")


class MessagesOfItems:
    """The messages that the items seen so far add up to."""

    def __init__(self) -> None:
        self.messages: list[_Message] = []
        #: The types of items and parts that a chat has no place for.
        self.left_out: list[str] = []

    def add(self, item: Any, where: str) -> None:
        """Take the next item. Raises ``BadRequestError`` where it has the wrong shape."""
        if not isinstance(item, dict):
            raise wrong(where, "an object")
        kind = item.get("type") or ("message" if "role" in item else "item_reference")
        take = _ITEMS.get(kind) if isinstance(kind, str) else None
        if take is not None:
            take(self, item, where)
        elif isinstance(kind, str):
            self.left_out.append(kind)
        else:
            raise wrong(f"{where}.type", "a text")

    def add_message(self, role: str, content: Any) -> None:
        """Add a message; an answer's text joins the thinking before it."""
        if role != "assistant":
            self.end()
            self.messages.append({"role": role, "content": content})
            return
        answer = self._answer()
        answer["content"] = request_form.join_contents(answer["content"], content)

    def think(self, thought: str) -> None:
        """Add thinking to the answer that follows it."""
        answer = self._answer()
        before = answer.get("reasoning_content")
        answer["reasoning_content"] = f"{before}\n{thought}" if before else thought

    def call(self, call_id: Any, name: str, arguments: Any) -> None:
        """Add a call to the answer before it."""
        if not self._is_open():
            self._begin_answer()
        function = {"name": name, "arguments": arguments}
        call = {"type": "function", "function": function}
        if isinstance(call_id, str):
            call["id"] = call_id
        self.messages[-1].setdefault("tool_calls", []).append(call)

    def end(self) -> None:
        """Drop thinking that no answer followed: the turn was stopped there."""
        if self.messages and self.messages[-1]["role"] == "assistant":
            answer = self.messages[-1]
            if answer["content"] is None and "tool_calls" not in answer:
                self.messages.pop()

    def _answer(self) -> _Message:
        """The answer that is not complete yet; one with text and no calls is."""
        if not self._is_open() or self._has_text_alone():
            self._begin_answer()
        return self.messages[-1]

    def _is_open(self) -> bool:
        return bool(self.messages) and self.messages[-1]["role"] == "assistant"

    def _has_text_alone(self) -> bool:
        last = self.messages[-1]
        return last["content"] is not None and "tool_calls" not in last

    def _begin_answer(self) -> None:
        self.messages.append({"role": "assistant", "content": None})


def _message(messages: MessagesOfItems, item: _Item, where: str) -> None:
    role = item.get("role")
    if not isinstance(role, str) or role.lower() not in _ROLES:
        raise wrong(f"{where}.role", "user, assistant, system or developer")
    messages.add_message(role.lower(), _content(messages, item.get("content"), f"{where}.content"))


def _reasoning(messages: MessagesOfItems, item: _Item, where: str) -> None:
    """The thinking itself, or its summary; what is encrypted only OpenAI can read."""
    thought = _joined_texts(item.get("content")) or _joined_texts(item.get("summary"))
    if thought:
        messages.think(thought)


def _function_call(messages: MessagesOfItems, item: _Item, where: str) -> None:
    name = chat_name(_name(item, where), item.get("namespace"))
    messages.call(_call_id(item), name, item.get("arguments"))


def _custom_call(messages: MessagesOfItems, item: _Item, where: str) -> None:
    name = chat_name(_name(item, where), item.get("namespace"))
    messages.call(_call_id(item), name, custom_arguments(item.get("input")))


def _shell_call(messages: MessagesOfItems, item: _Item, where: str) -> None:
    action = item.get("action")
    fields = action if isinstance(action, dict) else {}
    arguments = {k: v for k, v in fields.items() if k not in ("type", "env") and v is not None}
    messages.call(_call_id(item), LOCAL_SHELL, arguments)


def _result(messages: MessagesOfItems, item: _Item, where: str) -> None:
    output = item.get("output")
    if isinstance(output, dict | int | float):  # JSON that its client did not write out
        output = orjson.dumps(output).decode()
    messages.add_message("tool", _content(messages, output, f"{where}.output"))
    call_id = _call_id(item)
    if isinstance(call_id, str):
        messages.messages[-1]["tool_call_id"] = call_id


def _reference(messages: MessagesOfItems, item: _Item, where: str) -> None:
    raise BadRequestError(
        f"{where} refers to an item of an earlier answer. Answers are not stored here: send the "
        "item itself.",
        code="item_not_found",
        param=where,
    )


def _known_elsewhere(messages: MessagesOfItems, item: _Item, where: str) -> None:
    """``responses_api.py`` reads it with the tools."""


_ITEMS: Mapping[str, Callable[[MessagesOfItems, _Item, str], None]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "function_call_output": _result,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _result,
    "local_shell_call": _shell_call,
    "local_shell_call_output": _result,
    "additional_tools": _known_elsewhere,
    "item_reference": _reference,
}


def _content(messages: MessagesOfItems, content: Any, where: str) -> Any:
    """Text as text, and everything else in parts that a chat knows."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise wrong(where, "a text or a list of parts")
    parts = [_part(messages, p, f"{where}[{at}]") for at, p in enumerate(content)]
    if len(parts) == 1 and parts[0].get("type") == "text":
        return parts[0]["text"]
    return parts or ""


def _part(messages: MessagesOfItems, part: Any, where: str) -> _Message:
    if not isinstance(part, dict):
        raise wrong(where, "an object")
    kind = str(part.get("type"))
    if kind in _TEXTS:
        return _text_part(part.get("text"), f"{where}.text")
    if kind == "refusal":
        return _text_part(part.get("refusal"), f"{where}.refusal")
    if part.get("file_id"):
        raise BadRequestError(
            f"{where} names a file by its id. Files are not stored here: send its content.",
            code="file_not_found",
            param=where,
        )
    if kind in ("input_image", "image_url"):  # the second is a chat's
        return _image(part, where)
    text = _text_of_file(part) if kind == "input_file" else None
    if text is not None:
        return {"type": "text", "text": text}
    if kind == "input_audio" and isinstance(part.get(kind), dict):
        return {"type": kind, kind: part.get(kind)}
    messages.left_out.append(kind)
    return {"type": kind}  # a note in the prompt stands for it


def _text_part(text: Any, where: str) -> _Message:
    if not isinstance(text, str):
        raise wrong(where, "a text")
    return {"type": "text", "text": text}


def _image(part: Mapping[str, Any], where: str) -> _Message:
    given = part.get("image_url")
    named = given if isinstance(given, dict) else {"url": given, "detail": part.get("detail")}
    url, detail = named.get("url"), named.get("detail")
    if not isinstance(url, str):
        raise wrong(f"{where}.image_url", "a text")
    image = {"url": url, "detail": detail} if str(detail) in _DETAILS else {"url": url}
    return {"type": "image_url", "image_url": image}


def _text_of_file(part: Mapping[str, Any]) -> str | None:
    """The name and the text of a file that is sent as a data URL; ``None`` for any other file."""
    data = part.get("file_data")
    if not isinstance(data, str) or not data.startswith("data:"):
        return None
    head, _, encoded = data.removeprefix("data:").partition(",")
    if not head.startswith(_TEXT_FILES) or not head.endswith(";base64"):
        return None
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return f"{part.get('filename') or 'A file'}:\n{text}"


def _joined_texts(parts: Any) -> str:
    found = parts if isinstance(parts, list) else []
    texts = (part.get("text") for part in found if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def _call_id(item: _Item) -> Any:
    """The id by which a call and its result belong together: a shell's result has it in ``id``."""
    return item.get("call_id") or item.get("id")


def _name(item: _Item, where: str) -> str:
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise wrong(f"{where}.name", "a text")
    return name
