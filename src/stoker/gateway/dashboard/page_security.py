"""What a browser may do with the dashboard's pages, and which requests are one of its own."""

from __future__ import annotations

from aiohttp import web

#: Nothing of the page comes from elsewhere or stands in it: no attribute ``style``, no script.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
#: Of every answer below ``/ui``.
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it, browsers send a form with the origin `null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
#: Of its pages: none is kept, on disk or by a proxy, beyond the session.
PAGE_HEADERS = {**HEADERS, "Cache-Control": "no-store", "Vary": "Cookie, Accept-Language"}


def is_own(request: web.BaseRequest) -> bool:
    """Whether a request comes from a page of the dashboard, or from a person who opens one.

    Stricter than ``cors.Origins``, which passed it before: pages of other ports of this machine are
    of the same site, and `allowed_origins` opens the models to pages, not the dashboard. Browsers
    send the header to https and to loopback, other programs never.
    """
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site in ("same-origin", "none"):
        return True
    opened = (request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest"))
    return request.method == "GET" and opened == ("navigate", "document")


def is_https(request: web.BaseRequest) -> bool:
    """Whether the browser speaks https: to the gateway, or to the proxy before it.

    A sender that claims so falsely gets a cookie that it can't send back.
    """
    # Each proxy of a row adds what it was asked by: the browser's is the first.
    forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0]
    return request.secure or forwarded.strip().lower() == "https"
