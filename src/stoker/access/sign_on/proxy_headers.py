"""Owners named by a proxy that signs them on itself. Pure.

Anyone can send these headers, so they count only from the addresses that are listed.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

from multidict import CIMultiDictProxy

from stoker.access.entry_refused import EntryRefusedError
from stoker.access.sign_on.sign_on_rules import (
    SignedOn,
    TrustedProxies,
    signed_on,
)
from stoker.recent_values import RecentValues

#: Addresses whose answer is remembered: to read one costs 2 us.
_ADDRESSES_KEPT = 256


class ProxyHeaders:
    """Reads whom a listed proxy names."""

    def __init__(self, proxies: TrustedProxies) -> None:
        self._proxies = proxies
        self._listed: RecentValues[str, bool] = RecentValues(_ADDRESSES_KEPT)

    def owner_in(self, headers: CIMultiDictProxy[str], address: str | None) -> SignedOn | None:
        """Whom the proxy at this address names; ``None`` where it is not listed, or names no one.

        Raises ``EntryRefusedError`` where what it sends can't be read.
        """
        owners = headers.getall(self._proxies.owner_header, [])
        if not any(owners) or not self._is_listed(address or ""):
            return None
        groups = headers.getall(self._proxies.groups_header, ())
        # Of two, one may be the client's own: a proxy that replaced it would leave one.
        if len(owners) > 1 or len(groups) > 1:
            raise EntryRefusedError("wrong_headers")
        listed = [group.strip() for group in ",".join(groups).split(",")]
        who = signed_on(owners[0], [group for group in listed if group])
        if who is None:
            raise EntryRefusedError("wrong_headers")
        return who

    def are_in(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether a request names an owner, wherever it comes from: an empty header names none."""
        return any(headers.getall(self._proxies.owner_header, ()))

    def _is_listed(self, address: str) -> bool:
        listed = self._listed.get(address)
        if listed is None:
            found = _parsed(address)
            listed = found is not None and any(found in net for net in self._proxies.networks)
            self._listed.put(address, listed)
        return listed


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """An address. A socket for IPv6 and IPv4 has ``::ffff:10.0.0.5`` for one of IPv4."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has none
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
