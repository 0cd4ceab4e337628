"""The stage that asks who sends a request: a key, a token, or the word of a listed proxy."""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDictProxy

from stoker.access.api_keys import bearer
from stoker.access.caller import ANYONE, Caller
from stoker.access.entry_refused import EntryFault, EntryRefusedError
from stoker.access.sign_on import token_check
from stoker.gateway.api import openai_errors
from stoker.gateway.dashboard import dashboard_paths
from stoker.gateway.dashboard.session_cookie import led_to, token_in
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext
from stoker.network_addresses import is_loopback

#: What load balancers ask without a key, and clients before they have one (``HEAD /``). It reveals
#: nothing of models or users.
_OPEN_PATHS = frozenset({"/", "/health", "/ready", "/openapi.json"}) | dashboard_paths.OPEN

#: Where clients of Anthropic's API put the key: https://docs.anthropic.com/en/api/overview
_X_API_KEY = "x-api-key"
#: What a proxy that signs users on may leave in a request: the proof that it asked for itself.
_NOT_FOR_US = frozenset({"no_key", "wrong_key", "wrong_token"})
#: With these a browser is led to the sign-in, where a key may open what sign-on did not.
_SIGNED_OUT = frozenset({"no_key", "untrusted_proxy"})


class Authenticate:
    """Refuses a request that proves nothing; names the caller of one that does."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def check(self, context: RequestContext, /) -> web.StreamResponse | None:
        """Set ``context.caller``, but on paths that need no proof; or answer 401."""
        request = context.request
        if request.path not in _OPEN_PATHS:
            try:
                context.caller = await self._caller(context)
            except EntryRefusedError as refused:
                return self._refused(request, refused)
        return None

    def _refused(self, request: web.BaseRequest, refused: EntryRefusedError) -> web.Response:
        is_signed_out = refused.fault in _SIGNED_OUT and not any(_given(request.headers))
        if is_signed_out and request.path in dashboard_paths.GUARDED:
            return self._signed_out(request, refused.fault)
        entries = self._state.refused_entries
        entries.note(refused.fault, request.remote, refused.key_id)
        return openai_errors.entry_refused(refused.fault)

    def _signed_out(self, request: web.BaseRequest, fault: EntryFault) -> web.Response:
        """The way to the sign-in. To come without anything is no try to get in."""
        is_unknown = token_in(request) is not None
        if is_unknown or fault != "no_key":
            reason = "wrong_session" if is_unknown else fault
            self._state.refused_entries.note(reason, request.remote)
        if request.path not in dashboard_paths.PAGES:
            return openai_errors.entry_refused(fault)
        return led_to(request, dashboard_paths.SIGN_IN, forget=is_unknown)

    async def _caller(self, context: RequestContext) -> Caller:
        """Who sends a request. Raises ``EntryRefusedError``."""
        state, request = self._state, context.request
        if not state.is_guarded:
            return ANYONE
        given = _given(request.headers)
        proxied = state.sign_on.proxied(request.headers, request.remote)
        if proxied is not None:
            context.needs_own_host = is_loopback(request.remote or "")
            return await self._agreed(proxied, given)
        if not any(given):  # also beside another kind of `Authorization`, which a proxy may need
            return self._without_proof(request)
        if len(given) == 1:
            return await self._named(next(iter(given)))
        return await self._same(given)

    def _without_proof(self, request: web.BaseRequest) -> Caller:
        """Whom the dashboard's session names. No other path looks at cookies."""
        state = self._state
        token = token_in(request) if request.path in dashboard_paths.GUARDED else None
        caller = token and state.dashboard_sessions.caller(token, state.keys)
        if not caller:
            raise EntryRefusedError(state.sign_on.fault_without_proof(request.headers) or "no_key")
        return caller

    async def _named(self, text: str | None) -> Caller:
        """Whom a key or a token names."""
        keys, sign_on = self._state.keys, self._state.sign_on
        caller = keys.caller_of(text) if keys.required else None
        if caller is not None:
            return caller
        fault, key_id = keys.fault(text)
        if text and fault == "wrong_key" and sign_on.reads_tokens and token_check.is_signed(text):
            return await sign_on.token_caller(text.strip())
        raise EntryRefusedError(fault, key_id)

    async def _same(self, given: set[str | None]) -> Caller:
        """The caller that all of several proofs name: a proxy before might go by any of them."""
        try:
            callers = {await self._named(text) for text in given}
        except EntryRefusedError:
            callers = set()
        if len(callers) != 1:
            raise EntryRefusedError("two_keys")
        return callers.pop()

    async def _agreed(self, proxied: Caller, given: set[str | None]) -> Caller:
        """The caller that a proxy names, where no key or token beside it names another owner."""
        for text in given:
            try:
                owner = (await self._named(text)).owner
            except EntryRefusedError as refused:
                if refused.fault in _NOT_FOR_US:
                    continue
                raise
            if owner != proxied.owner:
                raise EntryRefusedError("two_keys")
        return proxied


def _given(headers: CIMultiDictProxy[str]) -> set[str | None]:
    """The keys and tokens of a request; ``None`` for an ``Authorization`` of another kind."""
    given = set(map(bearer, headers.getall("Authorization", ())))
    given.update(headers.getall(_X_API_KEY, ()))
    return given
