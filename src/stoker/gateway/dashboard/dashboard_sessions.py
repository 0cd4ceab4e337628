"""The sessions of browsers that have signed in: what stands for a key without holding it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from stoker.access.api_keys import Keys
from stoker.access.caller import Caller
from stoker.recent_values import RecentValues

#: A session ends after a working day, whatever happens in it.
SESSION_S = 12 * 3600
#: Sessions that are kept: some 300 bytes each. The oldest one ends where there are more.
_MOST = 1000
#: Sessions of one key: it can't push those of others out.
_MOST_OF_A_KEY = 20


@dataclass(frozen=True, slots=True)
class DashboardSession:
    """A browser that has signed in with the key of this hash, until ``ends_at``."""

    #: The SHA-256 of its token, and of its key.
    token_digest: bytes
    key_digest: bytes
    #: On the clock of the sessions.
    ends_at: float


class DashboardSessions:
    """The sessions of one gateway. They end with its process.

    A session is found by the SHA-256 of its token, as keys are found by theirs. It opens what its
    key opens at that moment: nothing once the key is revoked or has expired.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._sessions = RecentValues[bytes, DashboardSession](_MOST)

    def begin(self, key: str) -> str:
        """Begin a session for this key. Its token is the only copy."""
        key_digest = _digest(key.strip())
        self._make_room(key_digest)
        token = secrets.token_urlsafe(32)
        session = DashboardSession(_digest(token), key_digest, self._now() + SESSION_S)
        self._sessions.put(session.token_digest, session)
        return token

    def caller(self, token: str, keys: Keys) -> Caller | None:
        """Whom the key of a session names now; ``None`` where that opens nothing."""
        digest = _digest(token)
        session = self._sessions.get(digest)
        if session is None or session.ends_at <= self._now():
            return None
        is_it = hmac.compare_digest(session.token_digest, digest)
        return keys.caller_of_digest(session.key_digest) if is_it else None

    def end(self, token: str) -> None:
        """End a session, if there is such a one."""
        self._sessions.pop(_digest(token), None)

    def _make_room(self, key_digest: bytes) -> None:
        """Forget what has ended, and the oldest sessions of a key that has too many."""
        for known, session in list(self._sessions.items()):
            if session.ends_at <= self._now():
                del self._sessions[known]
        own = [d for d, each in self._sessions.items() if each.key_digest == key_digest]
        for oldest in own[: max(0, len(own) - _MOST_OF_A_KEY + 1)]:
            del self._sessions[oldest]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
