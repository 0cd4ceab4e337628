"""The few HTTP calls that engines make about themselves: small, bounded, JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from stoker.engines.base import Backend

#: Questions about a server are answered from memory; one that takes longer is not well.
ASK_TIMEOUT = aiohttp.ClientTimeout(total=30)
_READY_TIMEOUT = aiohttp.ClientTimeout(total=2)


async def get(http: aiohttp.ClientSession, backend: Backend, path: str) -> Any:
    """The JSON at ``path``. Raises ``aiohttp.ClientError`` when it can't be had."""
    async with http.get(
        backend.url + path, headers=backend.headers, timeout=ASK_TIMEOUT
    ) as response:
        response.raise_for_status()
        return orjson.loads(await response.read())


async def post(
    http: aiohttp.ClientSession, backend: Backend, path: str, body: Mapping[str, Any]
) -> Any:
    """The JSON answered to ``body``. Raises ``aiohttp.ClientError`` when it can't be had."""
    headers = {**backend.headers, "Content-Type": "application/json"}
    async with http.post(
        backend.url + path, data=orjson.dumps(body), headers=headers, timeout=ASK_TIMEOUT
    ) as response:
        response.raise_for_status()
        return orjson.loads(await response.read())


async def answers(http: aiohttp.ClientSession, backend: Backend, path: str) -> bool:
    """Whether ``path`` answers 200 now."""
    try:
        async with http.get(
            backend.url + path, headers=backend.headers, timeout=_READY_TIMEOUT
        ) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
