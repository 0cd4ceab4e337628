"""Errors in OpenAI's format, which is what every client of the gateway can show."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import web

from stoker.access.caller import Role
from stoker.access.entry_refused import EntryFault
from stoker.engines.refusals import OVERFLOW, Refusal
from stoker.gateway.api.json_answers import JsonAnswer


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
    sent = body(message, kind=kind, code=code, param=param)
    return JsonAnswer(sent, status=status, headers=headers)


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


def not_ready(down_cause: str = "", retry_after_s: int = 2) -> web.Response:
    """The model is loading, or is being started again after a crash, or its server can't be used.

    ``down_cause`` is why, as a part of a sentence; empty where that is not known.
    """
    message = (
        "The model is not ready yet: it is being started. Try again in a few seconds, "
        "or run `stoker status` to see how far it is."
    )
    if down_cause:
        message = (
            f"The gateway can't use the model's server: {down_cause}. Its log has the details "
            "and what to do about it."
        )
    return response(
        503,
        message,
        kind="server_error",
        code="model_not_ready",
        headers={"Retry-After": str(retry_after_s)},
    )


#: What a request has in place of a key. Whether a key was once valid is shown to its holder alone.
_KEY_FAULTS: Mapping[EntryFault, str] = {
    "no_key": "none",
    "wrong_key": "one that is not known here",
    "two_keys": "two different ones, or one beside an Authorization header of another kind",
    "expired_key": "one that has expired",
    "revoked_key": "one that was revoked",
    "untrusted_proxy": "only a header that names its user, from an address that is not one of the "
    "listed proxies",
}
#: What is wrong with a token. All but the first is shown only to its holder: its issuer signed it.
_TOKEN_FAULTS: Mapping[EntryFault, str] = {
    "wrong_token": "no issuer that this gateway trusts has signed it",
    "expired_token": "it has expired",
    "early_token": "it is not valid yet; if it is new, compare the clocks of issuer and gateway",
    "wrong_audience": "it is for another service: its audience is not this gateway's",
    "wrong_claims": "a claim that the gateway needs is missing or has another type",
}


def entry_refused(fault: EntryFault) -> web.Response:
    """The request has nothing that opens the gateway."""
    if fault == "issuer_away":
        return _issuer_away()
    if fault == "not_granted":
        return _not_granted()
    if fault == "wrong_headers":
        return _wrong_headers()
    if fault in _TOKEN_FAULTS:
        return _unauthorized(
            f"The token of this request opens nothing: {_TOKEN_FAULTS[fault]}. Sign on again for "
            "a new one, or send a key.",
            "invalid_token",
            'Bearer error="invalid_token"',  # RFC 6750, 3
        )
    return _unauthorized(
        f"This endpoint needs a key, and the request has {_KEY_FAULTS[fault]}. "
        "Send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.",
        "invalid_api_key",
        "Bearer",
    )


def _unauthorized(message: str, code: str, challenge: str) -> web.Response:
    headers = {"WWW-Authenticate": challenge}
    return response(401, message, kind="authentication_error", code=code, headers=headers)


def _issuer_away() -> web.Response:
    return response(
        503,
        "The token of this request can't be checked: the gateway has no keys of its issuer, and "
        "can't reach it. Try again in a few seconds; the gateway's log has the reason.",
        kind="server_error",
        code="issuer_away",
        headers={"Retry-After": "10"},
    )


def _not_granted() -> web.Response:
    return response(
        403,
        "You are signed on, and nothing is granted to you or your groups here. Ask the operator "
        "for a `[[grant]]` in the gateway's configuration.",
        kind="permission_error",
        code="not_granted",
    )


def _wrong_headers() -> web.Response:
    return response(
        401,
        "The proxy names its user in a way that can't be read: twice, or with a name that does not "
        "print. Make it replace the client's headers, and look at what it sends.",
        kind="authentication_error",
        code="invalid_proxy_headers",
    )


def foreign_page(origin: str | None) -> web.Response:
    """The request comes from a web page that the configuration does not allow."""
    site = repr(origin[:100]) if origin else "other sites"
    return response(
        403,
        f"Pages of {site} may not use this endpoint. To allow them, run "
        "`stoker gateway` with their origin in `allowed_origins` of its configuration.",
        kind="permission_error",
        code="origin_not_allowed",
    )


def role_needed(role: Role) -> web.Response:
    """The key opens the gateway, but not what was asked for."""
    return response(
        403,
        f"The role of this key does not allow this. Ask for a key with the role `{role}`.",
        kind="permission_error",
        code="role_needed",
    )


def foreign_host(host: str) -> web.Response:
    """The request is addressed to a name that this server does not have."""
    return response(
        403,
        f"This server has no name {host[:100]!r}, and without a key it answers only to its own: a "
        "web page could have chosen that one. Address it as localhost or by its IP address; behind "
        "a proxy, run `stoker gateway` with the name in `allowed_hosts` of its configuration, or "
        "with keys.",
        kind="permission_error",
        code="host_not_allowed",
    )


def unreadable_request() -> web.Response:
    """The client sent something that is not HTTP, or more of it than is read."""
    return response(
        400,
        "The gateway can't read this as a request of HTTP/1.1: a header is malformed or too long, "
        "its body has two lengths, or it is compressed in another way than gzip or deflate. Check "
        "the client, and that it does not use https here.",
        code="invalid_http",
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


#: OpenAI's codes for a limit that is reached, and (``True``) for a quota that is used up:
#: https://platform.openai.com/docs/guides/error-codes
LIMIT_CODES = {False: "rate_limit_exceeded", True: "insufficient_quota"}
LARGER_THAN_LIMIT = "larger_than_limit"


def larger_than_limit(message: str) -> web.Response:
    """The request is larger than a limit of its caller. Clients send a 429 again, and no 413."""
    return response(413, message, code=LARGER_THAN_LIMIT)


def limited(message: str, code: str, retry_after_s: int) -> web.Response:
    """The caller has reached a limit."""
    return response(
        429,
        message,
        kind="rate_limit_error",
        code=code,
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


def no_choices() -> web.Response:
    """The backend sent JSON in place of a stream, and no answer is in it."""
    return response(
        502,
        "The model's server answered a request for a stream with JSON that holds no answer. Check "
        "that its address is that of an OpenAI-compatible server, and look into its log.",
        kind="server_error",
        code="backend_failed",
    )


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


def no_such_path(path: str) -> web.Response:
    """The path is one of the gateway's, and this backend has none of that name."""
    return response(
        404,
        f"The model's server has no {path}. Use another path, or serve the model with an engine "
        "that has it.",
        code="no_such_path",
    )


def relayed(status: int, refusal: Refusal, headers: Mapping[str, str]) -> web.Response:
    """A backend's refusal with its own message, in the fields and types of OpenAI's errors.

    A redirect, which only the operator can follow, and a proxy's login are failures to the client.
    """
    status = 502 if status < 400 or status == 407 else status
    return JsonAnswer(refused(refusal, status), status=status, headers=headers)


def refused(refusal: Refusal, status: int) -> bytes:
    """The JSON of a backend's refusal, for an answer or for an event in a stream."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if not refusal.is_openai:
        code = refusal.code if refusal.code == OVERFLOW else "backend_refused"
        return body(refusal.message, kind=kind, code=code)
    return body(refusal.message, kind=refusal.kind or kind, code=refusal.code, param=refusal.param)


def message_and_code(answer: web.Response) -> tuple[str, str | None]:
    """The message and the code of an error answer in this form."""
    fields = orjson.loads(answer.text or "")["error"]
    return str(fields["message"]), fields["code"]
