"""A browser of the dashboard, without a screen and without cookies of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from tests.support.shown_gateways import keys
from tests.unit.gateway.backends import Front, gateway_with
from tests.unit.gateway.test_backend_faults import fine

PAGES = ("/ui", "/ui/owners", "/ui/live")


class Reply:
    """An answer of the dashboard."""

    def __init__(self, response: aiohttp.ClientResponse, text: str) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = text
        self.cookies = response.cookies

    @property
    def cookie(self) -> str:
        """The session as the browser sends it back."""
        (name,) = (name for name in self.cookies if name.startswith("stoker_session"))
        return f"{name}={self.cookies[name].value}"


async def ask(front: Front, method: str, path: str, **options: Any) -> Reply:
    """Ask as a browser without cookies, which follows no redirect."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.request(method, front.url + path, allow_redirects=False, **options) as response,
    ):
        return Reply(response, await response.text())


async def sign_in(front: Front, key: str, **headers: str) -> Reply:
    return await ask(front, "POST", "/ui/sign-in", data={"key": key}, headers=headers)


async def seen_by(front: Front, key: str, path: str = "/ui", **headers: str) -> Reply:
    """What the holder of a key sees after signing in."""
    cookie = (await sign_in(front, key)).cookie
    return await ask(front, "GET", path, headers={"Cookie": cookie, **headers})


@contextlib.asynccontextmanager
async def shown(**settings: Any) -> AsyncIterator[Front]:
    """A gateway with a key of each role, before a backend that answers."""
    async with gateway_with(fine, **{"keys": keys(), **settings}) as (front, _):
        yield front
