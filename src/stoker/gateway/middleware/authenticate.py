"""The stage that asks for a key."""

from __future__ import annotations

from aiohttp import web

from stoker.access.api_keys import KeyFault, bearer
from stoker.access.caller import Caller
from stoker.gateway.api import openai_errors
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext

#: What load balancers ask without a key, and clients before they have one (``HEAD /``). It reveals
#: nothing of models or users.
_OPEN_PATHS = frozenset({"/", "/health", "/ready"})

#: Where clients of Anthropic's API put the key: https://docs.anthropic.com/en/api/overview
_X_API_KEY = "x-api-key"


class Authenticate:
    """Refuses a request whose key opens nothing; names the caller of one that does."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.caller``, but on paths that need no key."""
        request = context.request
        if request.path not in _OPEN_PATHS:
            caller = self._caller(request)
            if caller is None:
                fault, key_id = self._fault(request)
                self._state.refused_entries.note(fault, request.remote, key_id)
                return openai_errors.unauthorized(fault)
            context.caller = caller
        return await proceed(context)

    def _caller(self, request: web.Request) -> Caller | None:
        """Whom the request's key names; ``None`` where it has none, or keys of different callers.

        A proxy before the gateway might go by another of several headers than this one.
        """
        keys, headers = self._state.keys, request.headers
        found = [keys.caller_of(key) for key in headers.getall(_X_API_KEY, ())]
        found += [keys.caller(header) for header in headers.getall("Authorization", ())]
        first, *others = found or [keys.caller(None)]
        return first if all(other == first for other in others) else None

    def _fault(self, request: web.Request) -> tuple[KeyFault, str]:
        """Why the request was refused, and the id of its key where that is known."""
        headers = request.headers
        given = {bearer(header) for header in headers.getall("Authorization", ())}
        given |= set(headers.getall(_X_API_KEY, ()))
        if len(given) > 1:
            return "two_keys", ""
        return self._state.keys.fault(next(iter(given), None))
