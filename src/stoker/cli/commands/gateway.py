"""``stoker gateway``."""

from __future__ import annotations

import json as jsonlib
import logging
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import typer

from stoker.cli.options import Insecure, Json
from stoker.cli.render import output, startup_progress
from stoker.gateway import Gateway
from stoker.server.event_loop import event_loop
from stoker.server.gateway_service import Service
from stoker.vscode import ENDPOINT


def command(
    config: Annotated[Path, typer.Argument(help="The configuration, a TOML file.")],
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Serve several backends through one gateway, set up by a file. Runs until it is stopped."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    service = Service(config, insecure=insecure)
    with event_loop() as loop:
        loop.run_until_complete(_serve(service, insecure=insecure, json=json))


async def _serve(service: Service, *, insecure: bool, json: bool) -> None:
    async with aclosing(service.run()) as run:
        async for endpoint in run:
            if json:
                print(jsonlib.dumps(_as_dict(endpoint, service.gateway)), flush=True)
            else:
                _show(endpoint, service.gateway)
                startup_progress.warn_open(service.bind, insecure=insecure)


def _as_dict(endpoint: str, gateway: Gateway) -> dict[str, Any]:
    backends = [
        {"url": b.endpoint.url, "engine": b.endpoint.engine or None, "up": b.usable}
        for b in gateway.pool.backends
    ]
    return {"endpoint": endpoint, "models": list(gateway.pool.models()), "backends": backends}


def _show(endpoint: str, gateway: Gateway) -> None:
    for backend in gateway.pool.backends:
        state = ", ".join(backend.models) if backend.models else "does not answer yet"
        output.say(f"Backend   {backend.endpoint.url}: {state}")
    output.say(f"Endpoint  {endpoint}")
    output.say(f'VS Code   "{ENDPOINT}": "{endpoint}"')
