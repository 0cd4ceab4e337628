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
        self._engine = engine
        self.rewritings: tuple[str, ...] = ("text-only",) if model.vision is False else ()

    def of(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request as the backend gets it: with tools in the prompt where it takes none."""
        offered = self._with_tools_offered(request)
        if self.rewritings:
            offered = _rewritten(offered, self.rewritings)
        return engines.server_client(self._engine).adapt(offered)

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
        offered = self._with_tools_offered(request)
        names = [n for n in self.rewritings if _rewritten(offered, (n,)) != offered]
        return f"rewritten={','.join(names)}" if names else None

    def _with_tools_offered(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        emulated = self._model.tools == "none" and _has_tool_turns(request)
        return tool_calls.emulate(request) if emulated else request

    def overheads(self, request: Mapping[str, Any], template: tokens.Overheads) -> tokens.Overheads:
        """What ``template`` adds to the prompt, with what emulated tools add."""
        if self._model.tools == "none" and request.get("tools"):
            return replace(template, base=template.base + _OFFER_BYTES)
        return template


def _rewritten(request: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    messages = request_form.rewritten_messages(request["messages"], names)
    return {**request, "messages": messages}


def _has_tool_turns(request: Mapping[str, Any]) -> bool:
    if request.get("tools"):
        return True
    return any(
        message.get("tool_calls") or message.get("role") == "tool"
        for message in request.get("messages") or ()
    )
