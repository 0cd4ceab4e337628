"""Errors in OpenAI's format, which is what every client of the gateway can show."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import web


def response(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """One error answer. ``message`` says what happened and what to do; it is shown to people."""
    return web.Response(
        status=status,
        body=body(message, kind=kind, code=code),
        content_type="application/json",
        headers=headers,
    )


def body(message: str, *, kind: str = "invalid_request_error", code: str | None = None) -> bytes:
    """The JSON of an error, for an answer or for an event in a stream that has begun."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def not_ready(retry_after_s: int = 2) -> web.Response:
    """The model is loading, or is being started again after a crash."""
    return response(
        503,
        "The model is not ready yet: it is being started. Try again in a few seconds, "
        "or run `stoker status` to see how far it is.",
        kind="server_error",
        code="model_not_ready",
        headers={"Retry-After": str(retry_after_s)},
    )
