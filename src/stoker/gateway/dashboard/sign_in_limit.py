"""How often an address may try to sign in. Pure: the clock comes from outside."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable

from stoker.recent_values import RecentValues

#: Refused tries of one address within a minute. A person who mistypes needs a few.
MOST_TRIES = 10
_SPAN_S = 60.0
#: Addresses that are remembered. One that is forgotten may try again.
_MOST_ADDRESSES = 4096


class SignInLimit:
    """Counts refused tries by the sender's address; of IPv6 by its network, which is one home's."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        #: When the minute began, and the tries in it.
        self._tries = RecentValues[str, tuple[float, int]](_MOST_ADDRESSES)

    def wait_s(self, address: str | None) -> int:
        """Seconds until this address may try again; 0 where it may now."""
        began, tries = self._minute(_sender(address))
        return math.ceil(began + _SPAN_S - self._now()) if tries >= MOST_TRIES else 0

    def note(self, address: str | None) -> None:
        """A try of this address was refused."""
        sender = _sender(address)
        began, tries = self._minute(sender)
        self._tries.put(sender, (began, tries + 1))

    def _minute(self, sender: str) -> tuple[float, int]:
        began, tries = self._tries.get(sender, (self._now(), 0))
        return (began, tries) if self._now() < began + _SPAN_S else (self._now(), 0)


def _sender(address: str | None) -> str:
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False))
