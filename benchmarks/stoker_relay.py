"""Stoker's gateway alone, in front of a mock backend, with keys, limits, metrics and usage.

``--engine`` is what the backend is taken for, ``--window`` the model's window in tokens.
``--owners`` is how many owners have a key with five limits (``key_of``); with 0 there are neither
keys nor limits, and no usage is recorded.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import relay_server
from aiohttp import web

from stoker.access.api_keys import Keys, hash_of
from stoker.access.caller import Caller, CallerLimits
from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served
from stoker.usage_records import USUAL_DAYS, UsageStore
from stoker.usage_records.sqlite_database import SqliteDatabase

#: High enough that none is ever reached.
LIMITS = CallerLimits(
    requests_per_minute=10**9,
    tokens_per_minute=10**12,
    tokens_per_day=10**12,
    tokens_per_month=10**12,
    max_concurrent=10**6,
)


def key_of(owner: int) -> str:
    """The key of an owner, by its number."""
    return "benchmark" if owner == 0 else f"benchmark-{owner}"


def keys(owners: int) -> Keys:
    """The keys of so many owners, each with five limits."""
    return Keys(
        {hash_of(key_of(n)): Caller(f"o{n}", f"k{n}", limits=LIMITS) for n in range(owners)}
    )


def gateway_for(
    owners: int, backend: str, engine: str = "llama.cpp", window: int = 1_000_000
) -> Gateway:
    """The gateway in front of ``backend``."""
    gateway = Gateway(keys(owners))
    models = [ServedModel("mock", max_model_len=window, tools="native")]
    if owners:
        folder = tempfile.mkdtemp(prefix="stoker-usage-")
        gateway.record_usage(UsageStore(SqliteDatabase(Path(folder) / "usage.db")), USUAL_DAYS)
    gateway.serve([Served(Backend(backend, engine), models)])
    return gateway


def runner(backend: str) -> web.BaseRunner:
    """What runs the gateway that the command line describes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--owners", type=int, default=1)
    parser.add_argument("--engine", default="llama.cpp")
    parser.add_argument("--window", type=int, default=1_000_000)
    options, _ = parser.parse_known_args()
    return gateway_for(options.owners, backend, options.engine, options.window).runner()


if __name__ == "__main__":
    relay_server.run(runner)
