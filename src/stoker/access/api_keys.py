"""The keys that clients need: kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from stoker.access.caller import ANYONE, Caller


class Keys:
    """The keys that the gateway accepts, and whom each names. With none, all may ask."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        """``callers`` maps the SHA-256 of each key, in hex, to its caller."""
        self._callers = {bytes.fromhex(digest): caller for digest, caller in callers.items()}

    def caller(self, authorization: str | None) -> Caller | None:
        """Whom the key in an ``Authorization`` header names; ``None`` for an unknown key."""
        kind, _, key = (authorization or "").partition(" ")
        return self.caller_of(key if kind.lower() == "bearer" else None)

    def caller_of(self, key: str | None) -> Caller | None:
        """Whom a key names; ``None`` for an unknown key, and for none.

        Every known hash is compared, each in constant time, whichever one it is: 500 keys cost
        50 us.
        """
        if not self._callers:
            return ANYONE
        if key is None:
            return None
        digest = hashlib.sha256(key.strip().encode("utf-8", errors="replace")).digest()
        found = None
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def keys_of(hashes: Mapping[str, str]) -> Keys:
    """Keys without limits: ``hashes`` maps an owner to the SHA-256 of the key, in hex."""
    return Keys({digest: Caller(owner, owner) for owner, digest in hashes.items()})


def hash_of(key: str) -> str:
    """The SHA-256 of a key, in hex: what a configuration file holds."""
    return hashlib.sha256(key.encode()).hexdigest()
