"""A chat request in the form that one backend takes: its engine's own, tools emulated or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stoker import engines, tokens
from stoker.engines import ServedModel
from stoker.tokens import tool_calls

#: Bytes of the offer of tools that ``emulate`` writes, apart from the tools themselves.
_OFFER_BYTES = 1024


class SentForm:
    """Turns a client's chat request into what the engine of one model gets. Pure."""

    def __init__(self, model: ServedModel, engine: str) -> None:
        self._model = model
        self._engine = engine

    def of(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request as the backend gets it: with tools in the prompt where it takes none."""
        if self._model.tools == "none" and _has_tool_turns(request):
            return tool_calls.emulate(request)
        return engines.server_client(self._engine).adapt(request)

    def overheads(self, request: Mapping[str, Any], template: tokens.Overheads) -> tokens.Overheads:
        """What ``template`` adds to the prompt, with what emulated tools add."""
        if self._model.tools == "none" and request.get("tools"):
            return replace(template, base=template.base + _OFFER_BYTES)
        return template


def _has_tool_turns(request: Mapping[str, Any]) -> bool:
    if request.get("tools"):
        return True
    return any(
        message.get("tool_calls") or message.get("role") == "tool"
        for message in request.get("messages") or ()
    )
