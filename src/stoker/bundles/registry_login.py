"""Which hosts may see the login of a registry.

A registry names the address that turns a login into a token (the ``realm`` of
https://distribution.github.io/distribution/spec/auth/token/), and redirects to where its blobs
are. Neither may carry the login away.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from stoker import network_addresses

#: Below such a name of a country, as in ``co.uk``, domains belong to different people. It is the
#: list of ``http.cookiejar.DefaultCookiePolicy``, as far as it has names of two to four letters.
_SHARED_BY_ALL = frozenset({"ac", "co", "com", "edu", "gov", "info", "int", "mil", "net", "org"})


def may_have_login(url: str, registry: str) -> bool:
    """Whether the login of ``registry``, a host with or without a port, may be sent to ``url``.

    It may over HTTPS, to the registry's host or another one of its site; and in plain HTTP between
    two addresses of this machine.
    """
    to, home = urlsplit(url), urlsplit(f"//{registry}")
    if not to.hostname or not home.hostname:
        return False
    if to.scheme == "http":
        return is_loopback(to.netloc) and is_loopback(registry)
    return to.scheme == "https" and _same_site(to.hostname, home.hostname)


def is_loopback(registry: str) -> bool:
    """Whether the host, with or without a port, is this machine."""
    return network_addresses.is_loopback(urlsplit(f"//{registry}").hostname or "")


def _same_site(host: str, registry: str) -> bool:
    """As ``auth.docker.io`` for ``index.docker.io``, ``gitlab.com`` for ``registry.gitlab.com``.

    A registry that is itself a domain, as ``ghcr.io``, has no other hosts.
    """
    if host == registry:
        return True
    labels = registry.split(".")[1:]
    above = ".".join(labels)
    if len(labels) < 2 or above.replace(".", "").isdigit():  # the rest of an IPv4 address
        return False
    if len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _SHARED_BY_ALL:
        return False
    return host == above or host.endswith(f".{above}")
