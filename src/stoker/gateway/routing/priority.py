"""Which requests are utility requests, and when one may be sent. Pure: values in, values out.

A client asks for titles and progress messages beside a conversation, often before its turn. Sent
at once, they take the slot and the time of the answer that a person waits for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from stoker.data.facts import load_table
from stoker.recent_values import RecentValues
from stoker.tokens.request_form.written_parts import part_key

#: The header with which a client marks a request: ``utility``, ``completion``, or anything else for
#: a turn.
HEADER = "x-stoker-priority"
_COMPLETION = "completion"
#: For this long no turn must have come or ended at a backend before a utility request is sent to
#: it. VS Code 1.139 sends its progress messages 2.1 s before the first agent turn (recorded), and
#: an agent's next turn follows as soon as its tools have run.
QUIET_S = 3.0
#: Characters at each end of a text in which markers are looked for.
_END_CHARS = 1000
#: Messages in which no marker is, by their hashes: a search takes 15 us, and an agent sends its
#: instructions with every step.
_OF_TURNS = RecentValues[int, None](1024)


@dataclass(frozen=True, slots=True)
class Utility:
    """A utility request: its purpose, and how long a backend must have been quiet before it."""

    what: str
    quiet_s: float = QUIET_S


@dataclass(frozen=True, slots=True)
class BackendLoad:
    """How busy one backend is when a utility request could be sent to it."""

    #: Requests that it works on at the same time; ``None`` where that is not bounded.
    slots: int | None
    in_flight: int
    #: Some request waits for a slot there.
    is_waited_for: bool
    #: Since a turn last came or ended there.
    quiet_s: float


def wait_s(utility: Utility, load: BackendLoad, waited_s: float) -> float:
    """Seconds until the request may be sent there if nothing happens; 0 is now.

    Infinite where another request has to end first: a slot stays free for the turn that comes next,
    where there is more than one.
    """
    if load.slots is None:
        return 0.0
    if load.is_waited_for or load.slots - load.in_flight < min(2, load.slots):
        return math.inf
    return max(0.0, utility.quiet_s - min(load.quiet_s, waited_s))


def utility_of(request: Mapping[str, Any], header: str | None = None) -> Utility | None:
    """What kind of utility request this is; ``None`` for a turn. The header, if any, decides."""
    if header is not None:
        return Utility("marked by its client") if header.strip().lower() == "utility" else None
    if request.get("tools"):
        return None
    messages = request.get("messages")
    if not isinstance(messages, list):
        return None
    for part, found in (("system", _system(messages)), ("user", _last_user(messages))):
        utility = _utility_in(part, found) if found else None
        if utility is not None:
            return utility
    return None


def _utility_in(part: str, messages: Sequence[Mapping[str, Any]]) -> Utility | None:
    """What these messages ask for; that others are no utility's is looked for once."""
    key = hash((part, *map(part_key, messages)))
    if key in _OF_TURNS:
        return None
    text = _ends([message.get("content") for message in messages])
    # One search for all kinds: nearly every request is a turn, and has none of the phrases.
    if text and _first_markers(part).search(text):
        for kind in _kinds():
            if kind.part == part and kind.matches(text):
                return kind.utility
    _OF_TURNS.put(key, None)
    return None


def is_completion(path: str, request: Mapping[str, Any], header: str | None = None) -> bool:
    """Whether an editor asks for code between two texts, which a person waits for while typing.

    The header, if any, decides; else the path, and ``suffix`` on ``/v1/completions``.
    """
    if header is not None:
        return header.strip().lower() == _COMPLETION
    return path == "/infill" or (path == "/v1/completions" and bool(request.get("suffix")))


@dataclass(frozen=True, slots=True)
class _UtilityKind:
    part: str
    #: At least one.
    markers: tuple[str, ...]
    utility: Utility

    def matches(self, text: str) -> bool:
        return all(map(text.__contains__, self.markers))


@cache
def _kinds() -> tuple[_UtilityKind, ...]:
    return tuple(
        _UtilityKind(
            row["part"],
            tuple(row["markers"]),
            Utility(f"{row['client']}: {row['what']}", 0.0 if row.get("awaited") else QUIET_S),
        )
        for row in load_table("utility_requests")["request"]
    )


@cache
def _first_markers(part: str) -> re.Pattern[str]:
    markers = {kind.markers[0]: None for kind in _kinds() if kind.part == part}
    return re.compile("|".join(map(re.escape, markers)))


def _system(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """The instructions, with which a chat begins."""
    found = []
    for message in messages:
        if not isinstance(message, dict):
            continue
        if message.get("role") not in ("system", "developer"):
            break
        found.append(message)
    return found


def _last_user(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """The last message, if it is the user's."""
    for message in reversed(messages):
        if isinstance(message, dict):
            return [message] if message.get("role") == "user" else []
    return []


def _ends(contents: Sequence[Any]) -> str:
    """The beginning and the end of each text, in contents that are texts or lists of parts."""
    ends: list[str] = []
    for content in contents:
        for part in content if isinstance(content, list) else (content,):
            text = part.get("text") if isinstance(part, dict) else part
            if not isinstance(text, str):
                continue
            if len(text) > 2 * _END_CHARS:
                ends += text[:_END_CHARS], text[-_END_CHARS:]
            else:
                ends += text, ""
    return "\n".join(ends)
