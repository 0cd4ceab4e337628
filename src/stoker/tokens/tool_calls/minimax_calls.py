"""MiniMax M3's calls: arguments are elements named after them, behind a mark for each tag."""

from __future__ import annotations

import re
from typing import Any

from stoker.tokens.tool_calls.argument_types import from_text, schema_types
from stoker.tokens.tool_calls.call_candidate import REJECTED, FoundCall, Verdict
from stoker.tokens.tool_calls.call_validation import ToolSchemas

#: What M3's chat template writes before every tag, so that no value can hold one.
MARK = "]<]minimax[>["
_TAG = re.compile(re.escape(MARK) + r"<(?P<end>/?)(?P<name>[^<>\s/]+)>")
_NAME = re.compile(r"\s*name\s*=\s*[\"']?(?P<name>[^\"'>]+)[\"']?\s*>")
_MAX_DEPTH = 32
#: An element: its text, or the elements in it.
_Element = str | list[tuple[str, Any]]


class MiniMaxCall:
    """``<invoke name="f"><key>value</key></invoke>``, each tag behind ``MARK``."""

    OPEN, CLOSE = f"{MARK}<invoke", f"{MARK}</invoke>"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start + len(self.OPEN)
        self._searched = self._start

    def read(self, text: str, final: bool) -> Verdict:
        end = text.find(self.CLOSE, self._searched)
        if end < 0:
            self._searched = max(self._searched, len(text) - len(self.CLOSE) + 1)
            return REJECTED if final else None
        head = _NAME.match(text, self._start, end)
        name = None if head is None else self._offered.resolve(head["name"])
        elements = None if head is None else _elements(text[head.end() : end])
        if name is None or elements is None or isinstance(elements, str):
            return REJECTED
        values = {k: _value(item, self._offered.type_of(name, k)) for k, item in elements}
        call = self._offered.call(name, values)
        return REJECTED if call is None else FoundCall((call,), end + len(self.CLOSE))


def _elements(text: str) -> _Element | None:
    """Return the elements of a call, ``None`` where one is not closed or text is between them."""
    open_elements: list[tuple[str, list[tuple[str, Any]]]] = [("", [])]
    at = 0
    for tag in _TAG.finditer(text):
        between, at = text[at : tag.start()], tag.end()
        name, children = open_elements[-1]
        if not tag["end"]:
            if between.strip() or len(open_elements) > _MAX_DEPTH:
                return None
            open_elements.append((tag["name"], []))
            continue
        if tag["name"] != name or (children and between.strip()):
            return None
        open_elements.pop()
        open_elements[-1][1].append((name, children or between))
    whole = len(open_elements) == 1 and not text[at:].strip()
    return open_elements[0][1] if whole else None


def _value(element: _Element, schema: object) -> Any:
    types = schema_types(schema)
    if isinstance(element, str):
        if not element.strip() and "string" not in types and types & {"array", "object"}:
            return [] if "array" in types else {}
        return from_text(element, schema)
    inner = schema if isinstance(schema, dict) else {}
    if "array" in types or all(key == "item" for key, _ in element):
        return [_value(item, inner.get("items")) for _, item in element]
    known = inner.get("properties")
    known = known if isinstance(known, dict) else {}
    return {key: _value(item, known.get(key)) for key, item in element}
