"""Who may see the dashboard, and how much of it. Pure."""

from __future__ import annotations

from stoker.access.caller import Caller
from stoker.network_addresses import is_loopback

#: Roles that may see what runs.
_VIEWERS = ("viewer", "admin")


def may_view(caller: Caller, address: str | None, *, is_guarded: bool) -> bool:
    """Whether a request may see what runs.

    A gateway without keys and sign-on shows it to this machine alone, also where ``--insecure``
    lets others use the models.
    """
    if is_guarded:
        return caller.role in _VIEWERS
    return is_local(address)


def may_see_owners(caller: Caller, *, is_guarded: bool) -> bool:
    """Whether the names of owners, and what each used, are shown to those who may view."""
    return not is_guarded or caller.role == "admin"


def is_local(address: str | None) -> bool:
    """Whether a request comes from this machine, or from a proxy on it."""
    return is_loopback((address or "").partition("%")[0])
