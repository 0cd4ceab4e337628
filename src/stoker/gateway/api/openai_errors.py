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
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """One error answer. ``message`` is shown to people: what happened, and what to do next."""
    return web.Response(
        status=status,
        body=body(message, kind=kind, code=code, param=param),
        content_type="application/json",
        headers=headers,
    )


#: A backend sent something whole that is no answer.
UNREADABLE = (
    "The model's server answered with something that is neither JSON nor an event stream. Check "
    "that its address is that of an OpenAI-compatible server; Stoker's log names the server."
)


def body(
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
) -> bytes:
    """The JSON of an error, for an answer or for an event in a stream that has begun."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return orjson.dumps({"error": error})


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


def unauthorized() -> web.Response:
    """The request has no key, or one that is not known."""
    return response(
        401,
        "This endpoint needs a key, and the request has none or a wrong one. "
        "Send it as `Authorization: Bearer KEY`.",
        kind="authentication_error",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )


def foreign_page(origin: str) -> web.Response:
    """The request comes from a web page that the configuration does not allow."""
    return response(
        403,
        f"Pages of {origin} may not use this endpoint. To allow them, run `stoker gateway` with "
        "their origin in `allowed_origins` of its configuration.",
        kind="permission_error",
        code="origin_not_allowed",
    )


def busy(retry_after_s: int) -> web.Response:
    """Every backend is at its limit, and the queue is long."""
    return response(
        429,
        f"All backends are busy. Try again in {retry_after_s} seconds.",
        kind="rate_limit_error",
        code="busy",
        headers={"Retry-After": str(retry_after_s)},
    )


def backend_failed() -> web.Response:
    """The backend broke off or sent nonsense, and the client has got nothing of it yet."""
    return response(
        502,
        "The model's server broke off before the answer was complete. Send it again.",
        kind="server_error",
        code="backend_failed",
    )


def unreadable() -> web.Response:
    """The backend sent something whole that is no answer."""
    return response(502, UNREADABLE, kind="server_error", code="backend_failed")


def internal() -> web.Response:
    """A bug in the gateway."""
    return response(
        500,
        "The gateway failed on this request because of a bug. Its log has the reason: run "
        "`stoker logs`, and please report what it prints.",
        kind="server_error",
        code="internal_error",
    )


def cannot_count() -> web.Response:
    """Neither the backend nor a tokenizer here can count for this model."""
    return response(
        501,
        "The server of this model can't count tokens, and Stoker has no tokenizer for it. "
        "Set `tokenizer` in the configuration.",
        kind="server_error",
        code="cannot_count",
    )


def relayed(status: int, refusal: bytes, headers: Mapping[str, str]) -> web.Response:
    """A backend's refusal with its own message, in the fields and types of OpenAI's errors."""
    try:
        value = orjson.loads(refusal)
        error = value.get("error") if isinstance(value, dict) else None
    except orjson.JSONDecodeError:
        value, error = None, None
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return response(
            status,
            error["message"],
            kind=_text_in(error, "type") or kind,
            code=_text_in(error, "code"),  # llama.cpp and vLLM repeat the status, as a number
            param=_text_in(error, "param"),
            headers=headers,
        )
    message = _message_in(value) or f"The model's server refused with status {status}."
    return response(status, message, kind=kind, code="backend_refused", headers=headers)


def _text_in(error: Mapping[str, object], name: str) -> str | None:
    value = error.get(name)
    return value if isinstance(value, str) else None


def _message_in(value: object) -> str | None:
    """The message of an error in another format than OpenAI's: TGI's, FastAPI's, Ollama's."""
    if not isinstance(value, dict):
        return None
    for name in ("message", "error", "detail"):
        if isinstance(value.get(name), str):
            return str(value[name])
    return None
