"""How clients name the conversation that a request belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Of vllm-router and of opencode, of Claude Code, of Codex 0.171 and before, of Copilot's CLI.
_NAMES = (
    "x-session-id",
    "x-session-affinity",
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "conversation_id",
)
#: What an id can be; nothing else is passed on.
_ID = re.compile(r"[!-~]{1,128}")


def sessions_in(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of a request, as they may be sent on to its backend."""
    found = {}
    for name in _NAMES:
        value = headers.get(name)
        if value is not None and _ID.fullmatch(value):
            found[name] = value
    return found


def session_of(sessions: Mapping[str, str], body: Mapping[str, Any]) -> str | None:
    """The session of a request: of a header, or else OpenAI's key of requests for one cache.

    ``sessions`` are ``sessions_in`` its headers.
    """
    for session in sessions.values():
        return session
    key = body.get("prompt_cache_key")
    return key if isinstance(key, str) else None
