"""The last system prompt and tools of each client, as it sent them, over the gateway's end.

They are texts and not tokens, so that another model can read them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec

from stoker.gateway.prompt.conversation_keys import head_key
from stoker.private_files import write_private
from stoker.recent_values import RecentValues
from stoker.tokens.chat_messages import SYSTEM_ROLES

#: Clients whose heads are kept, some 80 KB each: an editor, its other harness, an agent, a script.
_HEADS_KEPT = 4
#: A shorter one is read in a moment.
_LEAST_BYTES = 4096


class LastHead(msgspec.Struct, frozen=True):
    """What a conversation of one client begins with."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = []

    def asked(self, question: str) -> dict[str, Any]:
        """The first request of a conversation with it."""
        messages = [*self.messages, {"role": "user", "content": question}]
        return {"messages": messages, **({"tools": self.tools} if self.tools else {})}


class LastHeads:
    """The heads of this process, in memory until ``write``."""

    def __init__(self) -> None:
        self._heads = RecentValues[int, LastHead](_HEADS_KEPT)
        self._written = b""

    @property
    def newest_first(self) -> list[LastHead]:
        """The heads, that of the client which asked last first."""
        return list(reversed(self._heads.values()))

    def note(self, request: Mapping[str, Any]) -> None:
        """Take note of a turn's head; no text is copied."""
        messages, tools = request.get("messages"), request.get("tools") or []
        if not (isinstance(messages, list) and isinstance(tools, list)):
            return
        system = list(takewhile(_is_system, messages))
        if system:
            self._heads.put(head_key(messages), LastHead(system, tools))

    def read(self, path: Path) -> None:
        """Take what another process has written; a file that can't be read holds nothing."""
        try:
            self._written = path.read_bytes()
            heads = msgspec.json.decode(self._written, type=list[LastHead])
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        for head in heads:
            self._heads.put(head_key(head.messages), head)

    def write(self, path: Path) -> None:
        """Write them for another process of the same user, in any thread. Raises ``OSError``."""
        encoded = map(msgspec.json.encode, list(self._heads.values()))
        text = b"[" + b",".join(each for each in encoded if len(each) >= _LEAST_BYTES) + b"]"
        if text != self._written:
            write_private(path, text)
            self._written = text


def _is_system(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") in SYSTEM_ROLES
