"""The dashboard's cookies: the session of a browser, and the language that was chosen."""

from __future__ import annotations

from aiohttp import web

from stoker.gateway.dashboard import dashboard_paths, page_security
from stoker.gateway.dashboard.dashboard_sessions import SESSION_S
from stoker.gateway.dashboard.formats import Language

LANGUAGE_COOKIE = "stoker_language"
_YEAR_S = 365 * 86_400


def session_cookie(request: web.BaseRequest) -> str:
    """The name of the session's cookie.

    It holds the port that the gateway listens on: browsers send a cookie to every port of a host,
    and two gateways would end each other's sessions.
    """
    address = request.get_extra_info("sockname")
    return f"stoker_session_{address[1] if isinstance(address, tuple) else 'unix'}"


def token_in(request: web.BaseRequest) -> str | None:
    """The token of the session that a request belongs to; ``None`` where it names none."""
    return request.cookies.get(session_cookie(request)) or None


def led_to(
    request: web.BaseRequest, path: str, *, token: str | None = None, forget: bool = False
) -> web.Response:
    """An answer that leads to another page, with a new session, or without the one that was."""
    headers = {**page_security.PAGE_HEADERS, "Location": path}
    answer = web.Response(status=303, headers=headers)
    if token is not None:
        _set(request, answer, session_cookie(request), token, SESSION_S)
    if forget:
        _set(request, answer, session_cookie(request), "", 0)
    return answer


def remember_language(request: web.BaseRequest, language: Language) -> web.Response:
    """The same page again, from now on in this language."""
    answer = led_to(request, request.path)
    _set(request, answer, LANGUAGE_COOKIE, language, _YEAR_S)
    return answer


def _set(
    request: web.BaseRequest, answer: web.Response, name: str, value: str, max_age_s: int
) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=max_age_s,
        path=dashboard_paths.HOME,
        secure=page_security.is_https(request),
        httponly=True,
        samesite="Strict",
    )
