"""The few HTTP calls that ask a server about itself: small, bounded, JSON both ways.

The HTTP client is imported with the first call: commands that only plan load every engine's module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stoker.engines.base import Backend

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import aiohttp

#: A server answers such questions from memory; one that takes longer is in trouble.
_ASK_TIMEOUT_S = 30.0
_READY_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, whatever it is."""

    status: int
    body: bytes
    #: Where a redirect leads to. None is followed: a POST could not be.
    location: str = ""


async def ask(http: aiohttp.ClientSession, backend: Backend, path: str) -> Answer:
    """The answer at ``path``. Raises ``aiohttp.ClientError`` where there is none."""
    async with _asked(http, backend, path) as response:
        return await _answer(response)


async def send(
    http: aiohttp.ClientSession, backend: Backend, path: str, body: Mapping[str, Any]
) -> Answer:
    """What is answered to ``body``. Raises ``aiohttp.ClientError`` where there is no answer."""
    async with _posted(http, backend, path, body, _ASK_TIMEOUT_S) as response:
        return await _answer(response)


async def get(http: aiohttp.ClientSession, backend: Backend, path: str) -> Any:
    """The JSON at ``path``. Raises ``aiohttp.ClientError`` when it can't be had."""
    async with _asked(http, backend, path) as response:
        _raise_unless_good(response)
        return _json(await response.read())


async def post(
    http: aiohttp.ClientSession,
    backend: Backend,
    path: str,
    body: Mapping[str, Any],
    within_s: float = _ASK_TIMEOUT_S,
) -> Any:
    """The JSON answered to ``body``. Raises ``aiohttp.ClientError`` when it can't be had."""
    async with _posted(http, backend, path, body, within_s) as response:
        _raise_unless_good(response)
        return _json(await response.read())


async def answers(http: aiohttp.ClientSession, backend: Backend, path: str) -> bool:
    """Whether ``path`` answers 200 now."""
    import aiohttp  # noqa: PLC0415

    try:
        async with _asked(http, backend, path, _READY_TIMEOUT_S) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def _asked(
    http: aiohttp.ClientSession, backend: Backend, path: str, within_s: float = _ASK_TIMEOUT_S
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    return http.get(
        backend.url + path,
        headers=backend.headers,
        timeout=_timeout(within_s),
        allow_redirects=False,
    )


def _posted(
    http: aiohttp.ClientSession,
    backend: Backend,
    path: str,
    body: Mapping[str, Any],
    within_s: float,
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    import orjson  # noqa: PLC0415

    headers = {**backend.headers, "Content-Type": "application/json"}
    return http.post(
        backend.url + path,
        data=orjson.dumps(body),
        headers=headers,
        timeout=_timeout(within_s),
        allow_redirects=False,
    )


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    location = response.headers.get("Location", "")
    return Answer(response.status, await response.read(), location)


def _raise_unless_good(response: aiohttp.ClientResponse) -> None:
    import aiohttp  # noqa: PLC0415

    if response.status >= 300:
        raise aiohttp.ClientResponseError(
            response.request_info,
            response.history,
            status=response.status,
            message=response.reason or "",
            headers=response.headers,
        )


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    import aiohttp  # noqa: PLC0415

    return aiohttp.ClientTimeout(total=seconds)


def _json(data: bytes) -> Any:
    import orjson  # noqa: PLC0415

    return orjson.loads(data)
