"""The endpoint that a command is about: the one that the user named, or the one running here."""

from __future__ import annotations

from stoker import checks, network_addresses, server
from stoker.cli.options import address, key_from
from stoker.engines import Recognised
from stoker.errors import UsageError


def find(url: str | None, key_env: str | None) -> Recognised:
    """The server at ``url``, or at the running deployment's endpoint for ``None``.

    Raises ``UsageError`` where ``url`` is ``None`` and nothing runs, and ``StokerError`` where
    nothing answers.
    """
    at = place(url)
    return checks.look_at(at, key(at, key_env), key_env)


def place(url: str | None) -> str:
    """The address itself, without a request. Raises ``UsageError`` as ``find`` does."""
    return _running() if url is None else address(url)


def key(endpoint: str, key_env: str | None) -> str | None:
    """The key for an endpoint: the variable's, or the one that opens the gateway running here."""
    deployment = server.current()
    if key_env is not None or deployment is None:
        return key_from(key_env)
    ours = network_addresses.same_server(endpoint, deployment.spec.endpoint)
    return server.gateway_key() if ours and deployment.state.alive else None


def _running() -> str:
    deployment = server.current()
    if deployment is None:
        server.require_recorded()
    if deployment is None or not deployment.state.alive:
        raise UsageError(
            "No model is running here, and the command names no endpoint.",
            fix="Start a model: stoker up. Or give an endpoint, such as http://127.0.0.1:8000.",
        )
    return deployment.spec.endpoint
