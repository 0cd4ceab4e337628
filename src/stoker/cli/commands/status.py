"""``stoker status``."""

from __future__ import annotations

import time
from dataclasses import asdict

from stoker import server
from stoker.cli.options import Json
from stoker.cli.render import draft_view, output
from stoker.server import Deployment, LiveState


def command(json: Json = False) -> None:
    """Show the deployment: state, endpoint, model, engine, memory, prompts."""
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
        "engine_memory_bytes": server.engine_memory_bytes(state),
        "prefill": _prefill(deployment),
        "drafts": draft_view.as_dict(state.drafts),
        "problem": str(state.problem) if state.problem else None,
        "completion": _completion(deployment),
    }


def _completion(deployment: Deployment) -> dict[str, object] | None:
    """What completes code beside the chat; ``None`` where one engine was launched."""
    spec, state = deployment.spec.completion, deployment.completion or LiveState()
    if spec is None:
        return None
    return {
        "status": _completion_status(deployment),
        "model": spec.plan.model.id,
        "served_name": spec.plan.model.served_name,
        "engine": spec.plan.engine,
        "max_model_len": spec.plan.max_model_len,
        "restarts": state.restarts,
        "started_at": state.started_at,
        "ready_at": state.ready_at,
        "engine_pid": state.engine.pid if state.engine else None,
        "engine_memory_bytes": server.engine_memory_bytes(state),
        "problem": str(state.problem) if state.problem else None,
    }


def _completion_status(deployment: Deployment) -> str:
    """``waiting`` until the chat's engine is ready; else as for the deployment."""
    state = deployment.completion
    if state is None:
        return "waiting"
    if state.status != "failed" and not deployment.state.alive:
        return "dead"
    return "ready" if state.answering else state.status


def _prefill(deployment: Deployment) -> dict[str, float] | None:
    totals = _totals(deployment)
    return asdict(totals) if totals else None


def _totals(deployment: Deployment) -> server.PrefillTotals | None:
    """How its prompts were read; ``None`` where its gateway does not answer."""
    return server.prefill_totals(deployment.spec.endpoint) if deployment.state.alive else None


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
        ("Dashboard", f"{deployment.spec.endpoint}/ui"),
        ("Model", f"{plan.model.id} ({plan.model.quantization or 'unquantized'})"),
        ("Engine", plan.engine),
        ("Context", f"{plan.max_model_len:,} tokens, {plan.parallel} at a time"),
    ]
    memory = server.engine_memory_bytes(state)
    if memory is not None:
        kind = " of main memory" if plan.gpus else ""
        rows.append(("Memory", f"{output.size(memory)}{kind} held by the engine"))
    totals = _totals(deployment)
    if totals and totals.read_tokens + totals.cached_tokens + totals.restored_tokens:
        rows.append(("Prompts", _prompt_words(totals)))
    if totals and totals.reading_tokens:
        rows.append(("Reading", _reading_words(totals)))
    if state.drafts is not None:
        rows.append(("Drafts", draft_view.words(state.drafts)))
    if state.restarts:
        rows.append(("Restarts", str(state.restarts)))
    if state.problem:
        rows.append(("Problem", str(state.problem)))
    return [*rows, *_completion_rows(deployment)]


def _completion_rows(deployment: Deployment) -> list[tuple[str, str]]:
    spec, state = deployment.spec.completion, deployment.completion or LiveState()
    if spec is None:
        kept = deployment.spec.plan.completion_slots
        return [("Completion", "by the same model, in its own slot")] if kept else []
    status = _completion_status(deployment)
    model = f"{spec.plan.model.id} on {spec.plan.engine}"
    memory = server.engine_memory_bytes(state)
    held = f", {output.size(memory)} of main memory" if memory is not None else ""
    restarts = f", restarts: {state.restarts}" if state.restarts else ""
    rows = [("Completion", f"{status}: {model}{held}{restarts}")]
    return [*rows, ("", str(state.problem))] if state.problem else rows


def _prompt_words(totals: server.PrefillTotals) -> str:
    share = totals.cached_tokens / max(1, totals.read_tokens + totals.cached_tokens)
    again = f", of these {totals.wasted_tokens:,} again" if totals.wasted_tokens else ""
    saved = f", which saved {output.duration(totals.saved_s)}" if totals.saved_s >= 1 else ""
    restored = f"; {totals.restored_tokens:,} kept from before" if totals.restored_tokens else ""
    return (
        f"{totals.read_tokens:,} tokens read{again}; "
        f"{totals.cached_tokens:,} ({share:.0%}) from the cache{saved}{restored}"
    )


def _reading_words(totals: server.PrefillTotals) -> str:
    share = 1 - totals.unread_tokens / totals.reading_tokens
    return f"{totals.reading_tokens:,} tokens, {share:.0%} done"


def _state_words(state: LiveState) -> str:
    status = _status(state)
    if status == "ready" and state.ready_at:
        return f"ready for {output.duration(time.time() - state.ready_at)}"
    if status == "starting" and state.phases:
        return f"starting: {state.phases[-1].name}"
    if status == "dead":
        return "dead: its supervisor was killed. Clean up: stoker down. Start again: stoker up"
    return status
