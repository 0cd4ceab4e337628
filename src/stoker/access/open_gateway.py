"""Which gateways may run without keys: those that only this machine reaches. Pure."""

from __future__ import annotations

from stoker.errors import UsageError
from stoker.network_addresses import is_loopback


def is_open(bind: str, *, protected: bool) -> bool:
    """Whether other machines could use a gateway at this address without a key."""
    return not protected and not is_loopback(bind)


def refuse_open(bind: str, *, protected: bool, insecure: bool) -> None:
    """Raise ``UsageError`` where any machine could use the gateway, and no one insisted on that.

    ``protected`` is whether requests need a key or another proof of who sends them.
    """
    if insecure or not is_open(bind, protected=protected):
        return
    raise UsageError(
        f"The gateway does not listen on {bind} without keys or sign-on.",
        "Every machine that reaches this address could use the models, and read what is served.",
        "Make a key: stoker keys create OWNER; or set up sign-on. Or listen on 127.0.0.1, for this "
        "machine alone. To open it to every machine nonetheless, add --insecure.",
    )
