"""A chat request in the form that one backend takes: its engine's own, tools emulated or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stoker import engines, tokens
from stoker.engines import ServedModel
from stoker.tokens import request_form, tool_calls

#: Bytes of the offer of tools that ``emulate`` writes, apart from the tools themselves.
_OFFER_BYTES = 1024


class SentForm:
    """Turns a client's chat request into what the engine of one model gets.

    It remembers which rewritings of messages that server needs (``request_form.REWRITINGS``).
    """

    def __init__(self, model: ServedModel, engine: str) -> None:
        self._model = model
        self._client = engines.server_client(engine)
        self.rewritings: tuple[str, ...] = ("text-only",) if model.vision is False else ()

    def of(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request as the backend gets it: with tools in the prompt where it takes none."""
        formed = self._formed(request, self.rewritings)
        return self._client.adapt(formed)

    def rewrite_more(self, request: Mapping[str, Any]) -> bool:
        """Add the next rewriting that changes a request which was refused; ``False``: none does."""
        now = self.of(request)
        for name in request_form.REWRITINGS:
            if name in self.rewritings:
                continue
            before, self.rewritings = self.rewritings, (*self.rewritings, name)
            if self.of(request) != now:
                return True
            self.rewritings = before
        return False

    def record(self, request: Mapping[str, Any]) -> str | None:
        """Which rewritings changed this request, for the header ``x-stoker-fit``."""
        if not self.rewritings:
            return None
        plain = self._formed(request, ())
        names = [name for name in self.rewritings if self._formed(request, (name,)) != plain]
        return f"rewritten={','.join(names)}" if names else None

    def _formed(self, request: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
        if not names and self._model.tools != "none":
            return request
        # Offered in the prompt, results are the user's words, and no longer known for results.
        first = tuple(name for name in names if name in request_form.OF_RESULTS)
        formed = _rewritten(request, first)
        if self._model.tools == "none" and _has_tool_turns(formed):
            formed = tool_calls.emulate(formed)
        return _rewritten(formed, tuple(name for name in names if name not in first))

    def overheads(self, request: Mapping[str, Any], template: tokens.Overheads) -> tokens.Overheads:
        """What ``template`` adds to the prompt, with what emulated tools add."""
        if self._model.tools == "none" and request.get("tools"):
            return replace(template, base=template.base + _OFFER_BYTES)
        return template


def _rewritten(request: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    if not names:
        return request
    messages = request_form.rewritten_messages(request["messages"], names)
    return {**request, "messages": messages}


def _has_tool_turns(request: Mapping[str, Any]) -> bool:
    if request.get("tools"):
        return True
    return any(
        message.get("tool_calls") or message.get("role") == "tool"
        for message in request.get("messages") or ()
    )
