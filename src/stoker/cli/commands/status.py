"""``stoker status``."""

from __future__ import annotations

import time

from stoker import server
from stoker.cli.options import Json
from stoker.cli.render import output
from stoker.server import Deployment


def command(json: Json = False) -> None:
    """Show the deployment: state, endpoint, model, engine, memory."""
    deployment = server.current()
    if deployment is None:
        server.require_recorded()
    if json:
        output.as_json(as_dict(deployment))
        return
    if deployment is None:
        output.say("Nothing is running. Start with: stoker up")
        return
    for name, value in _rows(deployment):
        output.say(f"{name:10} {value}")


def as_dict(deployment: Deployment | None) -> dict[str, object]:
    """What programs may rely on."""
    if deployment is None:
        return {"status": "stopped"}
    return {
        "status": _status(deployment),
        "endpoint": deployment.endpoint,
        "model": deployment.plan.model.id,
        "engine": deployment.plan.engine,
        "max_model_len": deployment.plan.max_model_len,
        "parallel": deployment.plan.parallel,
        "restarts": deployment.restarts,
        "started_at": deployment.started_at,
        "ready_at": deployment.ready_at,
        "supervisor_pid": deployment.supervisor.pid if deployment.supervisor else None,
        "engine_pid": deployment.engine.pid if deployment.engine else None,
        "engine_memory_bytes": server.engine_memory_bytes(deployment),
        "problem": str(deployment.problem.error()) if deployment.problem else None,
    }


def _status(deployment: Deployment) -> str:
    if deployment.status == "failed" or deployment.running:
        return deployment.status
    return "dead"


def _rows(deployment: Deployment) -> list[tuple[str, str]]:
    plan = deployment.plan
    rows = [
        ("State", _state_words(deployment)),
        ("Endpoint", deployment.endpoint),
        ("Model", f"{plan.model.id} ({plan.model.quantization or 'unquantized'})"),
        ("Engine", plan.engine),
        ("Context", f"{plan.max_model_len:,} tokens, {plan.parallel} at a time"),
    ]
    memory = server.engine_memory_bytes(deployment)
    if memory is not None:
        kind = " of main memory" if plan.gpus else ""
        rows.append(("Memory", f"{output.size(memory)}{kind} held by the engine"))
    if deployment.restarts:
        rows.append(("Restarts", str(deployment.restarts)))
    if deployment.problem:
        rows.append(("Problem", str(deployment.problem.error())))
    return rows


def _state_words(deployment: Deployment) -> str:
    status = _status(deployment)
    if status == "ready" and deployment.ready_at:
        return f"ready for {output.duration(time.time() - deployment.ready_at)}"
    if status == "starting" and deployment.phases:
        return f"starting: {deployment.phases[-1].name}"
    if status == "dead":
        return "dead: its supervisor was killed. Clean up: stoker down. Start again: stoker up"
    return status
