"""nginx, the one door of a site: it spreads requests over the gateways, and ends TLS.

Directives are of nginx 1.22 to 1.29.
"""

from __future__ import annotations

from stoker.deploy.site import Site
from stoker.deploy.site_file import Line, SiteFile, indented

#: A backend that is silent for this long is given up by the gateway, after 900 s, before nginx.
_READ_TIMEOUT_S = 960
#: nginx's own word for a group of servers.
_GROUP = "upstream"
#: ``request_validation.MAX_BODY_BYTES`` in MiB, which answers with a better message.
_MOST_BODY_MIB = 32


def front_file(
    site: Site,
    path: str,
    *,
    listen: str,
    gateways: tuple[str, ...],
    dashboard: str,
    resolver: str | None = None,
    certificate: str = "",
    key: str = "",
) -> SiteFile:
    """A file for nginx's folder ``conf.d``.

    With a ``resolver``, ``gateways`` is one name that has an address for each gateway, asked for
    again every 2 s; without, each gateway's own address. ``dashboard`` is the first gateway's.
    """
    return SiteFile.of(
        path,
        [
            *_upstream(gateways, resolver),
            "server {",
            *indented(_listening(site, listen, certificate, key), 4),
            *indented(_to_gateways(gateways, dashboard, resolver), 4),
            "}",
        ],
    )


def _upstream(gateways: tuple[str, ...], resolver: str | None) -> list[Line | str]:
    if resolver is not None:
        return []
    servers = [
        Line(
            f"    server {address} max_fails=0;",
            "none is ever left out: one that is gone refuses at once, and the next one is asked. "
            "While no replica is up all answer 503, and that, not nginx's own page, reaches the "
            "client"
            if number == 0
            else "",
        )
        for number, address in enumerate(gateways)
    ]
    return [f"{_GROUP} stoker_gateways {{", *servers, "}", ""]


def _listening(site: Site, listen: str, certificate: str, key: str) -> list[Line | str]:
    if site.request.tls_host is None:
        return [f"listen {listen};"]
    return [
        f"listen {listen} ssl;",
        f"server_name {site.request.tls_host};",
        Line(f"ssl_certificate {certificate};", "the server's certificate, then intermediate ones"),
        f"ssl_certificate_key {key};",
        Line("ssl_protocols TLSv1.2 TLSv1.3;", "older ones are broken"),
    ]


def _to_gateways(
    gateways: tuple[str, ...], dashboard: str, resolver: str | None
) -> list[Line | str]:
    retries: list[Line | str] = [
        Line(
            "proxy_next_upstream error timeout http_502 http_503 non_idempotent;",
            "a gateway that is down, or about to stop, or whose replica broke off, has not begun "
            "to answer: the request goes to the next one. After the first byte nothing is sent "
            "twice",
        ),
        Line("proxy_next_upstream_tries 3;"),
        Line("proxy_connect_timeout 2s;", "a gateway that is gone is noticed soon"),
        Line(
            f"proxy_read_timeout {_READ_TIMEOUT_S}s;",
            "a long prompt is read in silence; the gateway gives up first, with a better message",
        ),
    ]
    bodies: list[Line | str] = [
        Line(
            f"client_max_body_size {_MOST_BODY_MIB}m;",
            "more than the gateways take: they refuse what is too large, with the reason",
        ),
        Line("client_body_buffer_size 1m;", "most prompts stay in memory"),
    ]
    passing: list[Line | str] = [
        Line("proxy_buffering off;", "each token reaches the client as it comes"),
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
        Line("proxy_set_header Host $http_host;", "the gateways check by which name they are used"),
        Line("proxy_set_header X-Forwarded-Proto $scheme;", "the dashboard's cookie depends on it"),
        Line("access_log off;", "the gateways record usage; addresses of people are not kept here"),
    ]
    found: list[Line | str] = []
    every, first = "http://stoker_gateways", f"http://{dashboard}"
    if resolver is not None:
        every, first = "$gateways", "$dashboard"
        found = [
            Line(
                f"resolver {resolver} valid=2s ipv6=off;",
                "a gateway that was made again has another address",
            ),
            Line(
                f"set $gateways http://{gateways[0]};",
                "a variable: nginx then asks for the addresses while it runs",
            ),
            f"set $dashboard http://{dashboard};",
        ]
    locations: list[Line | str] = [
        f"location / {{ proxy_pass {every}; }}",
        Line(
            f"location /ui {{ proxy_pass {first}; }}",
            "each gateway's dashboard has sessions and numbers of its own: this is the first one's",
        ),
    ]
    return [*bodies, *passing, *retries, *found, *locations]
