"""Pass a request to a backend and its answer back, byte for byte as it arrives."""

from __future__ import annotations

import aiohttp
from aiohttp import web

from stoker.engines import Backend
from stoker.gateway import errors

#: Headers of one connection (RFC 9110, 7.6.1) and those that the relay sets itself.
_HOP_BY_HOP = {
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
    "upgrade",
}
#: No limit on the whole: an answer may take minutes. A backend that accepts no connection in
#: 5 s is down.
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5)


async def relay(
    request: web.Request, http: aiohttp.ClientSession, backend: Backend, body: bytes
) -> web.StreamResponse:
    """Answer ``request`` with what ``backend`` answers to ``body`` at the same path.

    When the client leaves, the server cancels this coroutine; leaving the ``async with`` then
    closes the backend's connection, which is how the engine learns to stop generating.
    """
    headers = {**backend.headers, "Content-Type": "application/json"}
    try:
        async with http.post(
            backend.url + request.path, data=body, headers=headers, timeout=TIMEOUT
        ) as upstream:
            response = web.StreamResponse(status=upstream.status)
            for name, value in upstream.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
    except aiohttp.ClientConnectorError:
        return errors.not_ready()
    except aiohttp.ClientError:
        return await _broken_off(request, locals().get("response"))


async def _broken_off(
    request: web.Request, response: web.StreamResponse | None
) -> web.StreamResponse:
    message = "The model's server broke off before the answer was complete. Send it again."
    if response is None or not response.prepared:
        return errors.response(502, message, kind="server_error", code="backend_failed")
    event = errors.body(message, kind="server_error", code="backend_failed")
    await response.write(b"data: " + event + b"\n\n")
    await response.write_eof()
    return response
