"""Signing in with a key, and out: the only requests of the dashboard that are not a ``GET``."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol
from urllib.parse import parse_qs

from aiohttp import web

from stoker.gateway.dashboard import dashboard_access, dashboard_paths, page_security
from stoker.gateway.dashboard.formats import language_of
from stoker.gateway.dashboard.session_cookie import led_to, remember_language, token_in
from stoker.gateway.dashboard.sign_in_limit import SignInLimit
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext

#: A form with a key is far smaller.
_MOST_BYTES = 4096
_FORM = "application/x-www-form-urlencoded"


class PageMaker(Protocol):
    """Makes a page from its template."""

    async def __call__(
        self, name: str, context: RequestContext, /, *, status: int = 200, **values: object
    ) -> web.Response:
        """The page as an answer."""
        ...


class SignIn:
    """The page that takes a key once, and gives the browser a session in its place."""

    def __init__(self, state: GatewayState, page: PageMaker) -> None:
        self._state = state
        self._page = page
        self._limit = SignInLimit(time.monotonic)

    async def form(self, context: RequestContext) -> web.StreamResponse:
        """``GET``: the page that asks for a key."""
        request = context.request
        chosen = language_of(request.query.get("language"))
        if chosen is not None:
            return remember_language(request, chosen)
        if self._is_signed_in(request):
            return led_to(request, dashboard_paths.HOME)
        return await self._asked(context)

    async def enter(self, context: RequestContext) -> web.StreamResponse:
        """``POST``: begin a session, where the key may see the dashboard."""
        request = context.request
        if not page_security.is_own(request):
            self._state.refused_entries.note("foreign_page", request.remote)
            return await self._asked(context, fault="foreign", status=403)
        wait_s = self._limit.wait_s(request.remote)
        if wait_s:
            answer = await self._asked(context, fault="too_many", status=429, wait_s=wait_s)
            answer.headers["Retry-After"] = str(wait_s)
            return answer
        key = await self._key_in(request)
        if not self._state.is_guarded:
            return led_to(request, dashboard_paths.HOME)
        return await self._entered(context, key)

    async def leave(self, context: RequestContext) -> web.StreamResponse:
        """``POST``: end the session."""
        request = context.request
        token = token_in(request)
        if token is not None and page_security.is_own(request):
            self._state.dashboard_sessions.end(token)
        return led_to(request, dashboard_paths.SIGN_IN, forget=True)

    async def _entered(self, context: RequestContext, key: str) -> web.StreamResponse:
        request, keys = context.request, self._state.keys
        caller = keys.caller_of(key) if keys.required else None
        if caller is None:
            fault, key_id = keys.fault(key)
            return await self._refused(context, fault, key_id, status=401)
        if not dashboard_access.may_view(caller, request.remote, is_guarded=True):
            return await self._refused(context, "role_needed", caller.key_id, status=403)
        token = self._state.dashboard_sessions.begin(key)
        return led_to(request, dashboard_paths.HOME, token=token)

    async def _refused(
        self, context: RequestContext, fault: str, key_id: str, *, status: int
    ) -> web.Response:
        self._limit.note(context.request.remote)
        self._state.refused_entries.note(fault, context.request.remote, key_id)
        return await self._asked(context, fault=fault, status=status)

    async def _asked(
        self, context: RequestContext, *, fault: str = "", status: int = 200, wait_s: int = 0
    ) -> web.Response:
        request = context.request
        return await self._page(
            "sign_in",
            context,
            status=status,
            fault=fault,
            wait_s=wait_s,
            is_readable=not _is_private(request),
        )

    def _is_signed_in(self, request: web.BaseRequest) -> bool:
        token, keys = token_in(request), self._state.keys
        if not self._state.is_guarded:
            return True
        return token is not None and (
            self._state.dashboard_sessions.caller(token, keys) is not None
        )

    async def _key_in(self, request: web.BaseRequest) -> str:
        """The key of the form; empty where there is none in a form as the page sends it."""
        length = request.content_length
        is_form = request.content_type == _FORM and "Content-Encoding" not in request.headers
        if not is_form or length is None or length > _MOST_BYTES:
            return ""
        try:
            body = await asyncio.wait_for(request.read(), self._state.timings.body_s)
        except (asyncio.TimeoutError, web.RequestPayloadError):
            return ""
        try:
            fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
        except ValueError:  # more fields
            return ""
        return fields.get("key", [""])[0].strip()


def _is_private(request: web.BaseRequest) -> bool:
    """Whether no other machine can read what is sent: by https, or within this machine."""
    return page_security.is_https(request) or dashboard_access.is_local(request.remote)
