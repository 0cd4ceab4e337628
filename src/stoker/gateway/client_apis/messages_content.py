"""The content blocks of Anthropic's messages as the parts, calls and results of a chat. Pure.

The blocks: https://docs.anthropic.com/en/api/messages#body-messages-content
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.client_apis.client_api import wrong

_Block = Mapping[str, Any]
_Message = dict[str, Any]

_THINKING = frozenset({"thinking", "redacted_thinking"})
#: A chat has no field for it.
_FAILED = "The tool reports an error:\n"


def blocks(content: Any, where: str, ignored: set[str]) -> list[_Block]:
    """A message's content as blocks; a text is one. Raises ``BadRequestError``."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(map(_is_block, content)):
        raise wrong(where, "a text, or a list of objects with a type")
    if any(block.get("cache_control") for block in content):
        ignored.add("cache_control")
    return content


def text_of(block: _Block, where: str) -> str:
    """The text of a block that must be one of text."""
    if block["type"] != "text" or not isinstance(block.get("text"), str):
        raise wrong(where, "a text, or a list of blocks of type text")
    return str(block["text"])


def assistant_message(content: Sequence[_Block], where: str) -> _Message:
    """A message of the model: its text, thinking and calls."""
    others = [block for block in content if block["type"] not in (*_THINKING, "tool_use")]
    thoughts = [block.get("thinking") for block in content if block["type"] == "thinking"]
    thought = "\n".join(text for text in thoughts if text and isinstance(text, str))
    calls = [_call(block, where) for block in content if block["type"] == "tool_use"]
    message: _Message = {"role": "assistant", "content": _content(others, where, is_asked=False)}
    if calls:
        message |= {"content": message["content"] or None, "tool_calls": calls}
    return {**message, "reasoning_content": thought} if thought else message


def user_messages(
    role: str, content: Sequence[_Block], where: str, *, is_asked: bool
) -> list[_Message]:
    """A user's message: the results of tools, which a chat has in messages of their own, then it.

    ``is_asked``: it belongs to the question that is answered now.
    """
    results = [block for block in content if block["type"] == "tool_result"]
    others = [block for block in content if block["type"] != "tool_result"]
    out = [_result(block, where) for block in results]
    if others or not results:
        out.append({"role": role, "content": _content(others, where, is_asked=is_asked)})
    return out


def _call(block: _Block, where: str) -> dict[str, Any]:
    name = block.get("name")
    if not isinstance(name, str):
        raise wrong(where, "blocks of which each tool_use has a name")
    arguments = orjson.dumps(block.get("input") or {}).decode()
    function = {"name": name, "arguments": arguments}
    return {"id": _id(block.get("id"), where), "type": "function", "function": function}


def _result(block: _Block, where: str) -> _Message:
    given = block.get("content")
    inner = blocks("" if given is None else given, f"{where}.tool_result.content", set())
    content = _content(inner, where, is_asked=False)
    if block.get("is_error"):
        content = _after(_FAILED, content)
    return {
        "role": "tool",
        "tool_call_id": _id(block.get("tool_use_id"), where),
        "content": content,
    }


def _after(words: str, content: Any) -> Any:
    if isinstance(content, str):
        return words + content
    return [{"type": "text", "text": words}, *content]


def _content(found: Sequence[_Block], where: str, *, is_asked: bool) -> Any:
    """Text where all is text, as the servers join it; else parts."""
    parts = [_part(block, where, is_asked=is_asked) for block in found]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(block: _Block, where: str, *, is_asked: bool) -> dict[str, Any]:
    kind = block["type"]
    if kind == "text":
        return _text(text_of(block, where))
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _image_url(block, where)}}
    if kind == "document":
        return _document(block, where, is_asked=is_asked)
    if kind == "search_result":
        return _text(_with_title(block, _texts_in(block.get("content"), where)))
    return _left_out(str(kind))


def _image_url(block: _Block, where: str) -> str:
    source = block.get("source")
    if isinstance(source, dict) and isinstance(source.get("url"), str):
        return str(source["url"])
    if isinstance(source, dict) and isinstance(source.get("data"), str):
        kind = source.get("media_type")
        return f"data:{kind if isinstance(kind, str) else 'image/png'};base64,{source['data']}"
    raise wrong(f"{where}.source", "an image's base64 data or its URL")


def _document(block: _Block, where: str, *, is_asked: bool) -> dict[str, Any]:
    source = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    if isinstance(source, dict) and kind == "text" and isinstance(source.get("data"), str):
        return _text(_with_title(block, source["data"]))
    if isinstance(source, dict) and kind == "content":
        return _text(_with_title(block, _texts_in(source.get("content"), where)))
    if is_asked:
        raise BadRequestError(
            f"{where} has a document of type {kind!r}, and this model reads text and images only. "
            "Send the document's text in its place.",
            code="unsupported_content",
            param="messages",
        )
    return _left_out("document")


def _with_title(block: _Block, text: str) -> str:
    named = (block.get(name) for name in ("title", "source", "context"))
    return "\n".join([*(word for word in named if word and isinstance(word, str)), text])


def _texts_in(content: Any, where: str) -> str:
    found = blocks(content, f"{where}.content", set())
    return "\n".join(str(block["text"]) for block in found if isinstance(block.get("text"), str))


def _left_out(kind: str) -> dict[str, Any]:
    return _text(f"[A part of type {kind[:40]!r} was left out: it can't be sent on.]")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _id(given: Any, where: str) -> str:
    if not isinstance(given, str) or not given:
        raise wrong(where, "blocks of which each call and each result has an id")
    return given


def _is_block(block: Any) -> bool:
    return isinstance(block, dict) and isinstance(block.get("type"), str)
