"""``stoker adopt``."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import replace as replace_fields
from typing import Annotated
from urllib.parse import urlsplit

import typer

from stoker import server
from stoker.cli.options import Bind, Json, KeyEnv, address, key_from
from stoker.cli.render import output, startup_progress
from stoker.engines import Recognised
from stoker.errors import UsageError
from stoker.server import Run
from stoker.vscode import ENDPOINT


def command(
    url: Annotated[str, typer.Argument(help="The server's address, the part before /v1.")],
    key_env: KeyEnv = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The gateway's port.")] = 8000,
    bind: Bind = "127.0.0.1",
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of what runs now.")
    ] = False,
    json: Json = False,
) -> None:
    """Put the gateway in front of a server that runs already."""
    adopt(url, key_env, Run(bind, port, ("adopted", url), replace), json=json)


def adopt(url: str, key_env: str | None, run: Run, *, json: bool) -> None:
    """Recognise the server, serve it through the gateway, and say what will bite."""
    base = address(url)
    if not run.replace:
        server.check_can_start(run)
    found = _look(base, key_env)
    plan, options = server.plan_for(found)
    adopted = startup_progress.background(plan, replace_fields(run, options=options), quiet=True)
    _tell("Adopted", found, adopted.endpoint, json)
    if not json:
        startup_progress.warn_open(run.bind)


def preview(url: str, key_env: str | None, endpoint: str, *, json: bool) -> None:
    """Recognise the server and say what ``adopt`` would put behind ``endpoint``; change nothing."""
    _tell("Would adopt", _look(address(url), key_env), endpoint, json)


def _look(base: str, key_env: str | None) -> Recognised:
    key = key_from(key_env)
    _refuse_own(base)
    return server.look_at(base, key)


def _refuse_own(url: str) -> None:
    """Raise ``UsageError`` where the server is the gateway that runs here: it can't be its own."""
    running = server.current()
    if running is None or not running.running or _place(url) != _place(running.endpoint):
        return
    raise UsageError(
        f"{url} is Stoker's own gateway, which runs here.",
        f"It serves {running.plan.model.id} already.",
        "Use it as it is: stoker code. To put it in front of another server, name that one.",
    )


def _place(url: str) -> tuple[str | None, int | None]:
    """Host and port, with one name for this machine."""
    parts = urlsplit(url)
    return "127.0.0.1" if parts.hostname in ("localhost", "::1") else parts.hostname, parts.port


def _as_dict(found: Recognised, endpoint: str) -> dict[str, object]:
    return {
        "endpoint": endpoint,
        "engine": found.backend.engine,
        "version": found.version,
        "behind": list(found.behind),
        "url": found.backend.url,
        "models": [asdict(model) for model in found.models],
        "warnings": found.warnings,
    }


def _tell(what: str, found: Recognised, endpoint: str, json: bool) -> None:
    if json:
        output.as_json(_as_dict(found, endpoint))
        return
    output.say(f"{what} {found.words} at {found.backend.url}.\n")
    for model in found.models:
        length = f"{model.max_model_len:,} tokens" if model.max_model_len else "unknown"
        output.say(f"Model     {model.id}: context {length}, tools {model.tools or 'unknown'}")
    output.say(f"Endpoint  {endpoint}")
    output.say(f'VS Code   "{ENDPOINT}": "{endpoint}"')
    for warning in found.warnings:
        output.say(f"\nNote: {warning}")
