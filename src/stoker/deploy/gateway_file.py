"""The gateways' configuration in a site, and what they share."""

from __future__ import annotations

from collections.abc import Sequence

from stoker.deploy.site import Site
from stoker.deploy.site_file import Line, SiteFile

#: Running answers have this long when a gateway is ordered to stop: as long as its silence limit.
DRAIN_S = 900


def gateway_file(
    site: Site, path: str, routers: Sequence[str], *, bind: str, port: int
) -> SiteFile:
    """The configuration of each gateway, whose backends are the ``routers`` at these addresses."""
    return SiteFile.of(
        path,
        [
            *_head(),
            *_listening(bind, port),
            *_shared(site),
            *_keys(),
            *[line for url in routers for line in _backend(site, url)],
        ],
    )


def _head() -> list[Line | str]:
    return [
        "# Each gateway reads this file. A change takes effect within a second, without a restart,",
        "# and requests that are running are not disturbed.",
        "[gateway]",
    ]


def _listening(bind: str, port: int) -> list[Line | str]:
    return [
        Line(f'bind = "{bind}"', "the front reaches it here, and nothing else does"),
        f"port = {port}",
        Line(
            f"drain_s = {DRAIN_S}",
            "ordered to stop, a gateway takes nothing new and ends what it has begun: no answer "
            "is cut by an upgrade",
        ),
    ]


def _shared(site: Site) -> list[Line | str]:
    if not site.request.shared_stores:
        return []
    return [
        Line(
            'limits_store = "env:LIMITS_STORE"',
            "the gateways count limits together in Redis; its address holds a password, so it "
            "comes from the environment",
        ),
        Line(
            'usage = "env:USAGE_DATABASE"',
            "the gateways record usage together in PostgreSQL",
        ),
    ]


def _keys() -> list[Line | str]:
    return [
        "",
        "[gateway.keys]",
        Line(
            'prometheus = "env:PROMETHEUS_KEY"',
            "lets Prometheus read /metrics. With it in place every client needs a key: "
            "make those of people with stoker keys create",
        ),
    ]


def _backend(site: Site, url: str) -> list[Line | str]:
    return [
        "",
        Line("[[backend]]", "a router; where it answers with an error, the other one is asked"),
        f'url = "{url}"',
        Line(
            f'engine = "{site.plan.engine}"',
            "what the router stands for: known also while no replica is up",
        ),
        Line('key_env = "ENGINE_KEY"', "the router passes it on to the replica, which asks for it"),
    ]
