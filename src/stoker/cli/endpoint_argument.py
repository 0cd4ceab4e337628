"""Which endpoint a command is about: the one that was named, or the one that runs here."""

from __future__ import annotations

from stoker import checks, server
from stoker.cli.options import address, key_from
from stoker.engines import Recognised
from stoker.errors import UsageError


def find(url: str | None, key_env: str | None) -> Recognised:
    """What answers at ``url``, or at the running deployment's endpoint where none was named.

    Raises ``UsageError`` where nothing runs and none was named, and ``StokerError`` where
    nothing answers.
    """
    key = key_from(key_env)
    return checks.look_at(place(url), key)


def place(url: str | None) -> str:
    """The address itself, with nothing asked. Raises ``UsageError`` as ``find`` does."""
    return _running() if url is None else address(url)


def _running() -> str:
    deployment = server.current()
    if deployment is None:
        server.require_recorded()
    if deployment is None or not deployment.state.alive:
        raise UsageError(
            "Nothing is running here, and no endpoint was named.",
            fix="Start a model: stoker up. Or name an endpoint, like http://127.0.0.1:8000.",
        )
    return deployment.spec.endpoint
