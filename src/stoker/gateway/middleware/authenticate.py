"""The stage that asks for a key."""

from __future__ import annotations

from aiohttp import web

from stoker.access.api_keys import KeyFault, bearer
from stoker.access.caller import Caller
from stoker.gateway.api import openai_errors
from stoker.gateway.dashboard import dashboard_paths
from stoker.gateway.dashboard.session_cookie import led_to, token_in
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext

#: What load balancers ask without a key, and clients before they have one (``HEAD /``). It reveals
#: nothing of models or users.
_OPEN_PATHS = frozenset({"/", "/health", "/ready"}) | dashboard_paths.OPEN

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
                return self._refused(request)
            context.caller = caller
        return await proceed(context)

    def _refused(self, request: web.Request) -> web.Response:
        has_key = "Authorization" in request.headers or _X_API_KEY in request.headers
        if request.path in dashboard_paths.GUARDED and not has_key:
            return self._signed_out(request)
        fault, key_id = self._fault(request)
        self._state.refused_entries.note(fault, request.remote, key_id)
        return openai_errors.unauthorized(fault)

    def _signed_out(self, request: web.Request) -> web.Response:
        """The way to the sign-in. Only a cookie that opens nothing is a try to get in."""
        is_unknown = token_in(request) is not None
        if is_unknown:
            self._state.refused_entries.note("wrong_session", request.remote)
        if request.path not in dashboard_paths.PAGES:
            return openai_errors.unauthorized("no_key")
        return led_to(request, dashboard_paths.SIGN_IN, forget=is_unknown)

    def _caller(self, request: web.Request) -> Caller | None:
        """Whom the request's key names; ``None`` where it has none, or keys of different callers.

        A proxy before the gateway might go by another of several headers than this one.
        """
        keys, headers = self._state.keys, request.headers
        found = [keys.caller_of(key) for key in headers.getall(_X_API_KEY, ())]
        found += [keys.caller(header) for header in headers.getall("Authorization", ())]
        first, *others = found or [self._caller_without_key(request)]
        return first if all(other == first for other in others) else None

    def _caller_without_key(self, request: web.Request) -> Caller | None:
        token = token_in(request) if request.path in dashboard_paths.GUARDED else None
        if token is not None and self._state.keys.required:
            return self._state.dashboard_sessions.caller(token, self._state.keys)
        return self._state.keys.caller(None)

    def _fault(self, request: web.Request) -> tuple[KeyFault, str]:
        """Why the request was refused, and the id of its key where that is known."""
        headers = request.headers
        given = {bearer(header) for header in headers.getall("Authorization", ())}
        given |= set(headers.getall(_X_API_KEY, ()))
        if len(given) > 1:
            return "two_keys", ""
        return self._state.keys.fault(next(iter(given), None))
