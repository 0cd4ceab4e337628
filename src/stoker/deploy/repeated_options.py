"""The options of ``stoker deploy`` that a site was written with, for the commands in its page."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stoker.deploy.cluster import Cluster
    from stoker.deploy.site import Images, SiteRequest


def write_again(request: SiteRequest, plan: str) -> str:
    """The command that writes the site of ``request`` again, from the file ``plan``.

    It names every option that is not the default: without them the site would lose its replicas,
    its address or its TLS.
    """
    own = [*_options(request), "--from", plan, "--replace", "-o", "."]
    return f"stoker deploy {request.format} {shlex.join(own)}"


def _options(request: SiteRequest) -> Iterator[str]:
    for name in ("replicas", "gateways", "users", "name", "bind", "port", "tls_host"):
        value = getattr(request, name)
        if value != type(request).__dataclass_fields__[name].default:
            yield from (f"--{name.replace('_', '-')}", str(value))
    if not request.monitoring:
        yield "--no-monitoring"
    yield from _pairs("--image", request.images)
    yield from _pairs("--cluster", request.cluster)


def _pairs(option: str, chosen: Images | Cluster) -> Iterator[str]:
    for field in fields(chosen):
        value = getattr(chosen, field.name)
        if value != field.default:
            yield from (option, f"{field.name}={value}")
