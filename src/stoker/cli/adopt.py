"""``stoker adopt``."""

from __future__ import annotations

import os
from dataclasses import asdict
from dataclasses import replace as replace_fields
from typing import Annotated

import typer

from stoker import runtime
from stoker.cli import output, start
from stoker.cli.options import Json
from stoker.engines import Recognised
from stoker.errors import UsageError
from stoker.runtime import Run


def command(
    url: Annotated[str, typer.Argument(help="The server's address, the part before /v1.")],
    key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The environment variable that holds its key."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The gateway's port.")] = 8000,
    bind: Annotated[
        str, typer.Option(help="The gateway's address. Others than loopback open it to others.")
    ] = "127.0.0.1",
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of what runs now.")
    ] = False,
    json: Json = False,
) -> None:
    """Put the gateway in front of a server that runs already."""
    adopt(url, key_env, Run(bind, port, ("adopted", url), replace), json=json)


def adopt(url: str, key_env: str | None, run: Run, *, json: bool) -> None:
    """Recognise the server, serve it through the gateway, and say what will bite."""
    if not run.replace:
        runtime.check_can_start(run)
    found = runtime.look_at(_address(url), _key(key_env))
    plan, options = runtime.plan_for(found)
    endpoint = start.background(plan, replace_fields(run, options=options), quiet=True).endpoint
    if json:
        output.as_json(_as_dict(found, endpoint))
    else:
        _show(found, endpoint)


def _as_dict(found: Recognised, endpoint: str) -> dict[str, object]:
    return {
        "endpoint": endpoint,
        "engine": found.backend.engine,
        "version": found.version,
        "url": found.backend.url,
        "models": [asdict(model) for model in found.models],
        "warnings": found.warnings,
    }


def _show(found: Recognised, endpoint: str) -> None:
    version = f" {found.version}" if found.version else ""
    output.say(f"Adopted {found.backend.engine}{version} at {found.backend.url}.\n")
    for model in found.models:
        length = f"{model.max_model_len:,} tokens" if model.max_model_len else "unknown"
        output.say(f"Model     {model.id}: context {length}, tools {model.tools or 'unknown'}")
    output.say(f"Endpoint  {endpoint}")
    output.say(f'VS Code   "huggingface.customTGIEndpoint": "{endpoint}"')
    for warning in found.warnings:
        output.say(f"\nNote: {warning}")


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not an address.", fix="Write it like http://127.0.0.1:11434.")
    return url


def _key(key_env: str | None) -> str | None:
    if key_env is None:
        return None
    key = os.environ.get(key_env)
    if not key:
        raise UsageError(f"The variable {key_env} is not set.", fix="Set it, or leave it out.")
    return key
