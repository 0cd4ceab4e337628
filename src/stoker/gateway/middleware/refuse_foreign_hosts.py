"""The stage that refuses requests addressed to a name that this server does not have."""

from __future__ import annotations

from aiohttp import web

from stoker.access.caller import ANYONE
from stoker.gateway.api import openai_errors
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext


class RefuseForeignHosts:
    """Refuses web pages that point a name of their own at this server.

    This stands after ``Authenticate``: a page has no key and no token, and a client with one may
    use whatever name leads here, through whatever proxy. Headers in which a proxy on this machine
    names its user can be sent by a page as well.
    """

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def check(self, context: RequestContext, /) -> web.StreamResponse | None:
        """Answer 403, or nothing."""
        # Paths that need no key set no caller; they reveal nothing.
        if context.needs_own_host or getattr(context, "caller", None) is ANYONE:
            host = self._state.served_names.refused(context.request)
            if host is not None:
                self._state.refused_entries.note("foreign_host", context.request.remote)
                return openai_errors.foreign_host(host)
        return None
