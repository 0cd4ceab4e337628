"""Which store an address means. Its client is imported only where one is configured."""

from __future__ import annotations

import importlib.util
from urllib.parse import parse_qs, urlsplit

from stoker.errors import UsageError
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


def check(url: str) -> None:
    """Raise ``UsageError`` for an address that limits can't be counted at.

    No server is asked. The text never repeats the address: it may hold a password.
    """
    try:
        package = _PACKAGES[_kind(url)]
    except ValueError:
        raise UsageError(
            "This is not the address of a store that limits can be counted in.",
            fix="Write it like redis://127.0.0.1:6379/0 or postgresql://user@host/database.",
        ) from None
    if importlib.util.find_spec(package) is None:
        raise UsageError(
            f"This store needs the Python package {package}, which is not installed.",
            fix="Install it: pip install 'stoker[teams]'.",
        )
    try:
        store(url)
    except Exception as error:  # an option becomes an argument: it fails in any way
        raise UsageError(
            "The address of the store has an option that its client does not take.",
            f"The client reports: {_option(url, error)}.",
            "Correct the part after the question mark, or leave it out.",
        ) from None


def _option(url: str, error: Exception) -> str:
    """What is wrong, with the names of the options alone: their values may be secrets."""
    names = [name for name in parse_qs(urlsplit(url).query) if name in str(error)]
    return f"{type(error).__name__} at {', '.join(names) or 'one of the options'}"


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
