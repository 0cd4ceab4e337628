"""Stoker's gateway alone, in front of a mock backend, with keys, budgets, metrics and usage.

``--engine`` is what the backend is taken for, ``--window`` the model's window in tokens.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import relay_server
from aiohttp import web

from stoker.access.api_keys import hash_of, keys_of
from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served
from stoker.usage_records import USUAL_DAYS, UsageStore
from stoker.usage_records.sqlite_database import SqliteDatabase

KEY = "benchmark"


def runner(backend: str) -> web.AppRunner:
    """The gateway in front of ``backend``."""
    gateway = Gateway(keys_of({"benchmark": hash_of(KEY)}))
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", default="llama.cpp")
    parser.add_argument("--window", type=int, default=1_000_000)
    options, _ = parser.parse_known_args()
    models = [ServedModel("mock", max_model_len=options.window, tools="native")]
    folder = tempfile.mkdtemp(prefix="stoker-usage-")
    gateway.record_usage(UsageStore(SqliteDatabase(Path(folder) / "usage.db")), USUAL_DAYS)
    gateway.serve([Served(Backend(backend, options.engine), models)])
    return gateway.runner()


if __name__ == "__main__":
    relay_server.run(runner)
