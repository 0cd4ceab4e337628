"""Why a request gets no further than the entry."""

from __future__ import annotations

from typing import Literal

KeyFault = Literal["no_key", "wrong_key", "two_keys", "expired_key", "revoked_key"]
#: Of tokens and of proxies' headers.
SignOnFault = Literal[
    "wrong_token",
    "expired_token",
    "early_token",
    "wrong_audience",
    "wrong_claims",
    "not_granted",
    "issuer_away",
    "untrusted_proxy",
    "wrong_headers",
]
EntryFault = KeyFault | SignOnFault


class EntryRefusedError(Exception):
    """What a request has opens nothing. ``key_id`` is that of a known key, or empty."""

    def __init__(self, fault: EntryFault, key_id: str = "") -> None:
        super().__init__(fault)
        self.fault: EntryFault = fault
        self.key_id = key_id
