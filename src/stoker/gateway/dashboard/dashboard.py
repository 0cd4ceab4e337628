"""The routes of the dashboard: its pages, what they refresh from, and signing in and out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from stoker import __version__
from stoker.access.sign_on.sign_on_rules import is_signed_on
from stoker.gateway.dashboard import (
    dashboard_access,
    dashboard_paths,
    live_facts,
    page_rendering,
    page_security,
)
from stoker.gateway.dashboard.activity import Activity
from stoker.gateway.dashboard.formats import (
    LANGUAGES,
    Formats,
    Language,
    language_of,
    preferred_language,
)
from stoker.gateway.dashboard.kv_cache_watch import KvCacheWatch
from stoker.gateway.dashboard.live_facts import LiveFacts
from stoker.gateway.dashboard.session_cookie import LANGUAGE_COOKIE, remember_language
from stoker.gateway.dashboard.sign_in import SignIn
from stoker.gateway.dashboard.usage_overview import UsageReader
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext
from stoker.usage_records import UsageStore

_Answer = Callable[[RequestContext], Awaitable[web.StreamResponse]]
#: What the page refers to, with its type.
_STATIC: Mapping[str, tuple[str, str]] = {
    dashboard_paths.STYLE: ("dashboard.css", "text/css"),
    dashboard_paths.SCRIPT: ("dashboard.js", "text/javascript"),
    dashboard_paths.ICON: ("icon.svg", "image/svg+xml"),
}
#: Why a page is refused, and how the audit log calls it.
_REFUSED = {
    "foreign": "foreign_page",
    "role": "role_needed",
    "owners": "role_needed",
    "remote": "foreign_machine",
}
#: Owners of the first page; all are on a page of their own.
_OWNERS_SHOWN = 10


class Dashboard:
    """The pages of one gateway."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._started_at = time.time()
        self._activity = Activity(state.metrics)
        self._usage = UsageReader()
        self._kv_caches = KvCacheWatch()
        self._sign_in = SignIn(state, self._page)
        self._http: aiohttp.ClientSession | None = None

    def routes(self) -> list[tuple[str, str, _Answer]]:
        """Method, path and answer of each route. All but signing in and out only read."""
        static = [("GET", path, partial(_static, *file)) for path, file in _STATIC.items()]
        return [
            ("GET", dashboard_paths.HOME, self._guarded(self._home)),
            ("GET", dashboard_paths.HOME_SLASH, _to_home),
            ("GET", dashboard_paths.LIVE, self._guarded(self._live)),
            ("GET", dashboard_paths.OWNERS, self._guarded(self._owners)),
            ("GET", dashboard_paths.SIGN_IN, self._sign_in.form),
            ("POST", dashboard_paths.SIGN_IN, self._sign_in.enter),
            ("POST", dashboard_paths.SIGN_OUT, self._sign_in.leave),
            *static,
        ]

    async def keep(self, http: aiohttp.ClientSession) -> None:
        """Follow what happens, and ask backends through this session; runs for ever."""
        self._http = http
        await self._activity.keep()

    def _guarded(self, answer: _Answer) -> _Answer:
        """The answer for those who may see it; for all others, what to do."""

        async def handle(context: RequestContext) -> web.StreamResponse:
            request = context.request
            chosen = language_of(request.query.get("language"))
            if chosen is not None:
                return remember_language(request, chosen)
            if not page_security.is_own(request):
                return await self._refusal(context, "foreign")
            if not dashboard_access.may_view(
                context.caller, request.remote, is_guarded=self._state.is_guarded
            ):
                return await self._refusal(context, "role" if self._state.is_guarded else "remote")
            return await answer(context)

        return handle

    async def _refusal(self, context: RequestContext, why: str) -> web.Response:
        caller = context.caller
        self._state.refused_entries.note(_REFUSED[why], context.request.remote, caller.key_id)
        if _REFUSED[why] == "role_needed" and is_signed_on(caller):
            why = "grant"  # a key would not count beside what signs them on
        return await self._page("refused", context, status=403, why=why)

    async def _home(self, context: RequestContext) -> web.StreamResponse:
        return await self._page("home", context, **await self._values(context))

    async def _owners(self, context: RequestContext) -> web.StreamResponse:
        if not self._sees_owners(context):
            return await self._refusal(context, "owners")
        usage = await self._usage.overview(self._store())
        return await self._page("owners", context, usage=usage)

    async def _live(self, context: RequestContext) -> web.StreamResponse:
        """The parts of the page as they are now, each as HTML: one template makes both."""
        values = {**await self._values(context), "sees_owners": self._sees_owners(context)}
        parts = await asyncio.to_thread(_parts, self._formats(context.request), values)
        return web.Response(
            body=orjson.dumps({"parts": parts}),
            content_type="application/json",
            headers=page_security.PAGE_HEADERS,
        )

    async def _values(self, context: RequestContext) -> dict[str, Any]:
        return {
            "facts": await self._facts(),
            "endpoint": _endpoint(context.request),
            "owners_shown": _OWNERS_SHOWN,
        }

    async def _facts(self) -> LiveFacts:
        state = self._state
        uses = await self._kv_caches.uses(self._http, state.pool.backends) if self._http else {}
        backends = live_facts.backends_of(state, uses)
        return LiveFacts(
            live_facts.overall(state),
            self._started_at,
            __version__,
            state.deployment() if state.deployment else None,
            backends,
            self._activity.recent(await asyncio.to_thread(self._activity.read)),
            sum(backend.in_flight for backend in backends),
            state.slots.waiting,
            state.live_streams.unread_tokens(),
            live_facts.prompt_facts(state),
            await self._usage.overview(self._store()),
            tuple(state.recent_errors.latest()),
        )

    async def _page(
        self, name: str, context: RequestContext, /, *, status: int = 200, **values: object
    ) -> web.Response:
        request = context.request
        shown = {
            **values,
            "languages": LANGUAGES,
            "is_guarded": self._state.is_guarded,
            "sees_owners": self._sees_owners(context),
            "path": request.path,
        }
        # In a thread: thousands of rows take a moment, in which streams go on.
        html = await asyncio.to_thread(page_rendering.page, name, self._formats(request), **shown)
        return web.Response(
            status=status,
            text=html,
            content_type="text/html",
            headers=page_security.PAGE_HEADERS,
        )

    def _sees_owners(self, context: RequestContext) -> bool:
        caller = getattr(context, "caller", None)  # none where no one has signed in yet
        is_guarded = self._state.is_guarded
        return caller is not None and dashboard_access.may_see_owners(caller, is_guarded=is_guarded)

    def _store(self) -> UsageStore | None:
        return self._state.usage.store if self._state.usage else None

    def _formats(self, request: web.BaseRequest) -> Formats:
        return Formats(_language(request), time.time())


def _parts(formats: Formats, values: Mapping[str, object]) -> dict[str, str]:
    return {
        name: page_rendering.page(f"part_{name}", formats, **values)
        for name in page_rendering.PARTS
    }


def _language(request: web.BaseRequest) -> Language:
    chosen = language_of(request.cookies.get(LANGUAGE_COOKIE))
    return chosen or preferred_language(request.headers.get("Accept-Language", ""))


def _endpoint(request: web.BaseRequest) -> str:
    """The address under which this browser reaches the gateway: what an editor beside it needs."""
    scheme = "https" if page_security.is_https(request) else "http"
    return f"{scheme}://{request.host}"


async def _to_home(_: RequestContext) -> web.Response:
    headers = {**page_security.HEADERS, "Location": dashboard_paths.HOME}
    return web.Response(status=308, headers=headers)


async def _static(name: str, kind: str, _: RequestContext) -> web.Response:
    # Pages name it with its version.
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    headers = {**page_security.HEADERS, **kept}
    return web.Response(
        body=page_rendering.static_file(name), content_type=kind, charset="utf-8", headers=headers
    )
