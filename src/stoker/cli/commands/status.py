"""``stoker status``."""

from __future__ import annotations

import time

from stoker import server
from stoker.cli.options import Json
from stoker.cli.render import output
from stoker.server import Deployment, LiveState


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
    spec, state = deployment.spec, deployment.state
    return {
        "status": _status(state),
        "endpoint": spec.endpoint,
        "model": spec.plan.model.id,
        "engine": spec.plan.engine,
        "max_model_len": spec.plan.max_model_len,
        "parallel": spec.plan.parallel,
        "restarts": state.restarts,
        "started_at": state.started_at,
        "ready_at": state.ready_at,
        "supervisor_pid": state.supervisor.pid if state.supervisor else None,
        "engine_pid": state.engine.pid if state.engine else None,
        "engine_memory_bytes": server.engine_memory_bytes(deployment),
        "problem": str(state.problem) if state.problem else None,
    }


def _status(state: LiveState) -> str:
    """The state's name for programs: a silent engine is ``ready``, with a ``problem``."""
    if state.status != "failed" and not state.alive:
        return "dead"
    return "ready" if state.answering else state.status


def _rows(deployment: Deployment) -> list[tuple[str, str]]:
    plan, state = deployment.spec.plan, deployment.state
    rows = [
        ("State", _state_words(state)),
        ("Endpoint", deployment.spec.endpoint),
        ("Model", f"{plan.model.id} ({plan.model.quantization or 'unquantized'})"),
        ("Engine", plan.engine),
        ("Context", f"{plan.max_model_len:,} tokens, {plan.parallel} at a time"),
    ]
    memory = server.engine_memory_bytes(deployment)
    if memory is not None:
        kind = " of main memory" if plan.gpus else ""
        rows.append(("Memory", f"{output.size(memory)}{kind} held by the engine"))
    if state.restarts:
        rows.append(("Restarts", str(state.restarts)))
    if state.problem:
        rows.append(("Problem", str(state.problem)))
    return rows


def _state_words(state: LiveState) -> str:
    status = _status(state)
    if status == "ready" and state.ready_at:
        return f"ready for {output.duration(time.time() - state.ready_at)}"
    if status == "starting" and state.phases:
        return f"starting: {state.phases[-1].name}"
    if status == "dead":
        return "dead: its supervisor was killed. Clean up: stoker down. Start again: stoker up"
    return status
