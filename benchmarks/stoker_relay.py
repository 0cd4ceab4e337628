"""Stoker's gateway alone, in front of a mock backend, with keys, budgets and metrics."""

from __future__ import annotations

import relay_server
from aiohttp import web

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Keys, Served, hash_of

KEY = "benchmark"


def runner(backend: str) -> web.AppRunner:
    """The gateway in front of ``backend``."""
    gateway = Gateway(Keys({"benchmark": hash_of(KEY)}))
    models = [ServedModel("mock", max_model_len=1_000_000, tools="native")]
    gateway.serve([Served(Backend(backend, "llama.cpp"), models)])
    return gateway.runner()


if __name__ == "__main__":
    relay_server.run(runner)
