"""The keys that clients need: kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from stoker.access.caller import ANYONE, Caller
from stoker.access.entry_refused import KeyFault


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key by its hash. One that was revoked is kept: its use is refused as such, and logged."""

    #: The SHA-256 of the key.
    digest: bytes
    caller: Caller
    #: Seconds since the epoch; ``None`` for a key that does not expire.
    expires_at: float | None = None
    revoked: bool = False


class Keys:
    """The keys that the gateway accepts, and whom each names. With none, all may ask.

    A key is found by its SHA-256 in a table, so a thousand owners cost what one costs. How long a
    table takes reveals at most how a hash begins, and no one can work back from a hash to a key of
    256 random bits. What was found is then compared in constant time.
    """

    def __init__(
        self,
        callers: Mapping[str, Caller],
        stored: Iterable[KnownKey] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        """``callers`` maps the SHA-256 of each key, in hex, to its caller."""
        known = [KnownKey(bytes.fromhex(digest), caller) for digest, caller in callers.items()]
        self._known = {key.digest: key for key in (*known, *stored)}
        self._now = now

    @classmethod
    def shut(cls) -> Keys:
        """No key opens these: for a gateway whose keys can't be read."""
        return cls({}, [KnownKey(secrets.token_bytes(32), Caller("no one"))])

    @property
    def required(self) -> bool:
        """Whether a request needs a key. Keys that were revoked or expired open nothing either."""
        return bool(self._known)

    def and_also(self, others: Keys) -> Keys:
        """These keys and others. Where both have the same one, the others' rules hold for it."""
        return Keys({}, (*self._known.values(), *others._known.values()), self._now)

    def caller(self, authorization: str | None) -> Caller | None:
        """Whom the key in an ``Authorization`` header names; ``None`` for an unknown key."""
        return self.caller_of(bearer(authorization))

    def caller_of(self, key: str | None) -> Caller | None:
        """Whom a key names; ``None`` for one that opens nothing, and for none."""
        if not self._known:
            return ANYONE
        known = self._find(key)
        return known.caller if known is not None and self._fault(known) is None else None

    def caller_of_digest(self, digest: bytes) -> Caller | None:
        """Whom the key with this SHA-256 names; ``None`` once it opens nothing any more."""
        known = self._known.get(digest)
        return known.caller if known is not None and self._fault(known) is None else None

    def fault(self, key: str | None) -> tuple[KeyFault, str]:
        """Why a key was refused, and its id where it is known."""
        if not key:
            return "no_key", ""
        known = self._find(key)
        fault = self._fault(known) if known is not None else None
        return (fault, known.caller.key_id) if known and fault else ("wrong_key", "")

    def _find(self, key: str | None) -> KnownKey | None:
        key = (key or "").strip()
        if not key:  # whatever the hashes are: that of no text is written where a variable is empty
            return None
        digest = hashlib.sha256(key.encode("utf-8", errors="replace")).digest()
        known = self._known.get(digest)
        return known if known is not None and hmac.compare_digest(known.digest, digest) else None

    def _fault(self, known: KnownKey) -> KeyFault | None:
        if known.revoked:
            return "revoked_key"
        expired = known.expires_at is not None and known.expires_at <= self._now()
        return "expired_key" if expired else None


def bearer(authorization: str | None) -> str | None:
    """The key in an ``Authorization`` header; ``None`` where it holds none."""
    kind, _, key = (authorization or "").partition(" ")
    return key if kind.lower() == "bearer" else None


def keys_of(hashes: Mapping[str, str]) -> Keys:
    """Keys without limits: ``hashes`` maps an owner to the SHA-256 of the key, in hex."""
    return Keys({digest: Caller(owner, owner, limits_id=owner) for owner, digest in hashes.items()})


def hash_of(key: str) -> str:
    """The SHA-256 of a key, in hex: what a configuration file holds."""
    return hashlib.sha256(key.encode()).hexdigest()
