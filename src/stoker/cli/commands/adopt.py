"""``stoker adopt``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stoker.application import launch
from stoker.application.launch import LaunchSettings
from stoker.application.launch_events import ServerRecognised
from stoker.cli.options import (
    Bind,
    Insecure,
    Json,
    KeyEnv,
    Port,
    Replace,
    TlsCert,
    TlsClientCa,
    TlsClientCerts,
    TlsKey,
    Usage,
    address,
    certificate_files,
    key_from,
)
from stoker.cli.render import output, startup_progress
from stoker.cli.render.launch_view import LaunchView
from stoker.engines import Recognised
from stoker.vscode import ENDPOINT


def command(
    url: Annotated[str, typer.Argument(help="The server's address, the part before /v1.")],
    key_env: KeyEnv = None,
    port: Port = 8000,
    bind: Bind = "127.0.0.1",
    insecure: Insecure = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    tls_client_certs: TlsClientCerts = "required",
    usage: Usage = "sqlite",
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Put the gateway in front of a server that is already running."""
    tls = certificate_files(tls_cert, tls_key, tls_client_ca, tls_client_certs)
    settings = LaunchSettings(bind, port, replace, insecure=insecure, usage=usage, tls=tls)
    adopt(url, key_env, settings, dry_run=False, json=json)


def adopt(
    url: str, key_env: str | None, settings: LaunchSettings, *, dry_run: bool, json: bool
) -> None:
    """Serve the server at ``url`` through the gateway; with ``dry_run`` only recognise it."""
    base, key = address(url), key_from(key_env)
    endpoint = settings.endpoint
    if dry_run:
        _show("Would adopt", launch.recognise(base, key, key_env), endpoint, json=json)
        return
    found: Recognised | None = None
    with LaunchView(launch.adopt_server(base, key, settings, key_env), quiet=True) as view:
        for event in view:
            if isinstance(event, ServerRecognised):
                found = event.server
    if found is not None:
        _show("Adopted", found, endpoint, json=json)
    if not json:
        startup_progress.warn_open(settings.bind, insecure=settings.insecure)


def _show(verb: str, found: Recognised, endpoint: str, *, json: bool) -> None:
    if json:
        output.as_json(_document(found, endpoint))
        return
    output.say(f"{verb} {found.words} at {found.backend.url}.\n")
    for model in found.models:
        length = f"{model.max_model_len:,} tokens" if model.max_model_len else "unknown"
        output.say(f"Model     {model.id}: context {length}, tools {model.tools or 'unknown'}")
    output.say(f"Endpoint  {endpoint}")
    output.say(f'VS Code   "{ENDPOINT}": "{endpoint}"')
    for warning in found.warnings:
        output.say(f"\nNote: {warning}")


def _document(found: Recognised, endpoint: str) -> dict[str, object]:
    return {
        "endpoint": endpoint,
        "engine": found.backend.engine,
        "version": found.version,
        "behind": list(found.behind),
        "url": found.backend.url,
        "models": [asdict(model) for model in found.models],
        "warnings": found.warnings,
    }
