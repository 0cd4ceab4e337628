"""How long starts took: what to expect of the next one."""

from __future__ import annotations

import json

from stoker import paths
from stoker.private_files import write_private
from stoker.server.deployment_state import LaunchSpec, LiveState, state_folder

_KEPT = 50


def last_start_s(spec: LaunchSpec) -> float | None:
    """How long the last start of the same model on the same engine took, in seconds."""
    return _read().get(_key(spec))


def remember_start(spec: LaunchSpec, state: LiveState) -> None:
    """Note how long this one took."""
    if state.ready_at is None:
        return
    known = _read()
    known.pop(_key(spec), None)
    known[_key(spec)] = round(state.ready_at - state.started_at, 1)
    recent = dict(list(known.items())[-_KEPT:])
    write_private(state_folder() / "starts.json", json.dumps(recent).encode())


def _read() -> dict[str, float]:
    try:
        known = json.loads((paths.state_dir() / "starts.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(spec: LaunchSpec) -> str:
    how = "process" if spec.options.python else "container"
    return f"{spec.plan.engine} {spec.plan.model.id} {how}"
