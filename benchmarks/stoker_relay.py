"""Stoker's gateway alone, in front of a mock backend: keys, budget and metrics on."""

from __future__ import annotations

import argparse
import asyncio

import uvloop
from aiohttp import web

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Keys, Served, hash_of

KEY = "benchmark"


async def serve(backend: str, port: int) -> None:
    """Listen until ended; the port is printed."""
    gateway = Gateway(Keys({"benchmark": hash_of(KEY)}))
    models = [ServedModel("mock", max_model_len=1_000_000, tools="native")]
    gateway.serve([Served(Backend(backend, "llama.cpp"), models)])
    runner = gateway.runner()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve on ``--port`` in front of ``--backend``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--backend", required=True)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.backend, arguments.port))


if __name__ == "__main__":
    main()
