"""Prompts whose tokens one backend has reported, by which longer ones need not be counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker import tokens
from stoker.gateway.api.request_validation import written
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.recent_values import RecentValues

#: Some 250 bytes each. An agent's turn adds one for each step, and only its last one is needed.
_MOST_PROMPTS = 1024
#: What changes no prompt, and what a chain holds of a request.
_OUTSIDE = tokens.OUTSIDE_THE_PROMPT | {"messages", "tools"}


@dataclass(frozen=True, slots=True)
class _KnownPrompt:
    messages: int
    tokens: int


class KnownPrompts:
    """The prompts of chats that one backend has answered for one model, the oldest first.

    It holds hashes and counts, no content. ``trusted`` is whether the backend's engine reports
    whole prompts.
    """

    def __init__(self, *, trusted: bool) -> None:
        self._trusted = trusted
        self._prompts = RecentValues[tuple[int, int], _KnownPrompt](_MOST_PROMPTS)
        self._run = 0

    def of_run(self, run: int) -> None:
        """Forget what was known of an engine that may have been started again since."""
        if run != self._run:
            self._run = run
            self._prompts.clear()

    def note(self, chat: Prepared, prompt_tokens: int) -> None:
        """Take note of what the backend reports of a chat's prompt; of others it notes nothing."""
        chain = chat.chain
        if not (self._trusted and chain is not None and chain.is_whole):
            return
        messages = len(chat.request["messages"])
        if prompt_tokens < messages:
            return
        key = (chat.options_key, chain.links[-1])
        self._prompts.put(key, _KnownPrompt(messages, prompt_tokens))

    def distrust(self) -> None:
        """A prompt was longer than its bound: the backend does not count as is believed."""
        self._trusted = False
        self._prompts.clear()

    def bound(self, chat: Prepared, overheads: tokens.Overheads) -> int | None:
        """Tokens that a chat's prompt does not exceed; ``None`` where it is not known."""
        if chat.chain is None or not self._prompts:
            return None
        options = chat.options_key
        for link in reversed(chat.chain.links):
            known = self._prompts.get((options, link))
            if known is None:
                continue
            growth = tokens.growth_bound(chat.request, known.messages, overheads)
            if growth is not None:
                return known.tokens + growth
        return None


def options_key(sent: Mapping[str, Any]) -> int:
    """A hash of all that may change the prompt beside its messages and the tools' content."""
    if _OUTSIDE.issuperset(sent):
        return len(sent.get("tools") or ())
    options = {name: value for name, value in sent.items() if name not in _OUTSIDE}
    return hash((len(sent.get("tools") or ()), written(options)))
