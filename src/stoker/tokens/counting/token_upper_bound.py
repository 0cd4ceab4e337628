"""An upper bound on a prompt's tokens that costs microseconds, so that few requests are counted.

A byte-level BPE token covers one byte or more; SentencePiece with byte fallback makes at most
one token of each byte. So no text has more tokens than UTF-8 bytes, and a prompt none more than
the bytes of what the template renders: the request's own texts, and the template's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from jinja2 import nodes
from jinja2.exceptions import TemplateError

from stoker.tokens.chat_messages import arguments_text, calls_of, images_in, text_of
from stoker.tokens.counting.chat_template import parse_template
from stoker.tokens.counting.token_counting import utf8_bytes

#: Unicode's canonical composition (NFC, which Qwen's tokenizers apply) makes a text at most
#: three times as long in UTF-8 (https://www.unicode.org/faq/normalization.html), and a JSON
#: escape of a character outside ASCII is at most three times its UTF-8 bytes.
_NON_ASCII_GROWTH = 3
#: Some templates (Llama 3.1) write the content of these messages as JSON.
_AS_JSON = frozenset({"tool", "function"})
#: With these a client changes what is rendered, by any amount of text.
_TEMPLATE_FIELDS = ("chat_template", "chat_template_kwargs", "documents")
#: In JSON a quote, a backslash or a newline becomes two characters ...
_JSON_GROWTH = 2
#: ... and another control character six.
_CONTROL_GROWTH = 6
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
#: A date that the template writes, the beginning of sequence, and the like.
_SPARE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Overheads:
    """What a template adds at most, in bytes and so in tokens.

    The defaults cover every template of the catalogue; ``overheads_of`` gives those of one.
    """

    #: Once a prompt: preambles, instructions for tools, the generation prompt.
    base: int = 4096
    #: For each message, and again for each of its tool calls or content parts.
    per_message: int = 512
    #: For each tool, apart from its definition.
    per_tool: int = 512


def overheads_of(*templates: str) -> Overheads:
    """Read from Jinja chat templates how many bytes of its own each can render at most.

    Text outside loops is rendered once, text inside a loop once for each item. Where one
    cannot be read, the defaults are returned.
    """
    try:
        trees = [parse_template(template) for template in templates]
    except (TemplateError, RecursionError):
        return Overheads()
    loops = (_outer_loops_and_macros(tree) for tree in trees)
    inside = max(sum(map(_text_bytes, found)) for found in loops)
    return Overheads(base=max(map(_text_bytes, trees)), per_message=inside, per_tool=inside)


def _outer_loops_and_macros(node: nodes.Node) -> list[nodes.Node]:
    found: list[nodes.Node] = []
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.For | nodes.Macro):
            found.append(child)
        else:
            found.extend(_outer_loops_and_macros(child))
    return found


def _text_bytes(node: nodes.Node) -> int:
    data = (item.data for item in node.find_all(nodes.TemplateData))
    constants = (item.value for item in node.find_all(nodes.Const) if isinstance(item.value, str))
    return sum(utf8_bytes(text) for text in (*data, *constants))


def prompt_bound(request: Mapping[str, Any], overheads: Overheads) -> int | None:
    """Return a number of tokens that the request's prompt surely does not exceed.

    ``None`` where nothing is sure: with images, with content of an unknown kind, or with a
    template or its variables in the request.
    """
    messages = request.get("messages")
    if not isinstance(messages, list) or any(request.get(name) for name in _TEMPLATE_FIELDS):
        return None
    total = overheads.base + _SPARE_TOKENS
    for message in messages:
        tokens = message_bound(message, overheads)
        if tokens is None:
            return None
        total += tokens
    tools = request.get("tools")
    if isinstance(tools, list) and tools:
        try:
            total += _tools_bound(tools) + len(tools) * overheads.per_tool
        except TypeError:  # it nests deeper than orjson writes
            return None
    return total


def message_bound(message: object, overheads: Overheads) -> int | None:
    """Return how many tokens a message is at most; ``None`` where nothing is sure."""
    if not isinstance(message, dict) or images_in(message.get("content")):
        return None
    content = message.get("content")
    parts = len(content) if isinstance(content, list) else 0
    calls = calls_of(message)
    total = overheads.per_message * (1 + parts + len(calls))
    total += _text_bound(text_of(content), json_growth=message.get("role") in _AS_JSON)
    for name in ("reasoning_content", "reasoning", "name", "role", "tool_call_id"):
        value = message.get(name)
        if isinstance(value, str):
            total += _text_bound(value)
    for call in calls:
        total += _text_bound(str(call.get("name", "")))
        # Rendered as JSON within JSON at worst, with a space after each separator.
        total += _text_bound(arguments_text(call), json_growth=True)
        total += utf8_bytes(str(call.get("id", "")))
    return total


def _text_bound(text: str, *, json_growth: bool = False) -> int:
    ascii_growth = _JSON_GROWTH if json_growth else 1
    growth = ascii_growth if text.isascii() else _NON_ASCII_GROWTH
    if json_growth and _CONTROL.search(text):
        growth = _CONTROL_GROWTH
    return growth * utf8_bytes(text)


def _tools_bound(tools: list[Any]) -> int:
    # An indent of 2 is measured; twice that covers an indent of 4 (Llama 3.1) and, with its
    # line breaks, the tags that Qwen3-Coder's XML form puts around each key.
    indented = orjson.dumps(tools, option=orjson.OPT_INDENT_2)
    return 2 * len(indented) * (1 if indented.isascii() else _NON_ASCII_GROWTH)
