"""How long starts took, so that the next one can say what to expect."""

from __future__ import annotations

import json

from stoker import paths
from stoker.server.deployment_state import Deployment, state_folder, write_private

_KEPT = 50


def last_start_s(deployment: Deployment) -> float | None:
    """How long the last start of the same model on the same engine took, in seconds."""
    return _read().get(_key(deployment))


def remember_start(deployment: Deployment) -> None:
    """Note how long this one took."""
    if deployment.ready_at is None:
        return
    known = _read()
    known.pop(_key(deployment), None)
    known[_key(deployment)] = round(deployment.ready_at - deployment.started_at, 1)
    recent = dict(list(known.items())[-_KEPT:])
    write_private(state_folder() / "starts.json", json.dumps(recent).encode())


def _read() -> dict[str, float]:
    try:
        known = json.loads((paths.state_dir() / "starts.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(deployment: Deployment) -> str:
    how = "process" if deployment.options.python else "container"
    return f"{deployment.plan.engine} {deployment.plan.model.id} {how}"
