"""Which store an address means. Its client is imported only where one is configured."""

from __future__ import annotations

from urllib.parse import urlsplit

from stoker.gateway.limiting.counters import SharedStore
from stoker.gateway.limiting.shared_counters import SharedCounters
from stoker.gateway.usage.metrics import Metrics

_KINDS = {
    "redis": "redis",
    "rediss": "redis",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
#: The Python packages that speak to them.
_PACKAGES = {"redis": "redis", "postgresql": "asyncpg"}


def package(url: str) -> str:
    """The package that the store at this address needs. Raises ``ValueError`` for no store.

    That a host has a port which is none is found here: the clients find it at the first call.
    """
    return _PACKAGES[_kind(url)]


def counters(url: str, metrics: Metrics) -> SharedCounters:
    """Counters in the store at this address; the metrics show whether it answers."""
    return SharedCounters(store(url), metrics.limits_store_up.labels(_kind(url)).set)


def _kind(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in _KINDS or not (parts.netloc or parts.path or parts.query):
        raise ValueError("no such store")
    for host in parts.netloc.rpartition("@")[2].split(","):  # PostgreSQL takes several
        _ = urlsplit(f"//{host}").port  # raises ValueError where it is no port
    return _KINDS[parts.scheme]


def store(url: str) -> SharedStore:
    """The store at this address. Raises ``ValueError`` for no store."""
    if _kind(url) == "redis":
        from stoker.gateway.limiting.redis_store import RedisStore  # noqa: PLC0415

        return RedisStore(url)
    from stoker.gateway.limiting.postgres_store import PostgresStore  # noqa: PLC0415

    return PostgresStore(url)
