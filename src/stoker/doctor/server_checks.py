"""The links of the server: engine, gateway, endpoint, its certificate and the clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from stoker import vscode
from stoker.doctor.endpoint_checks import WITHIN_S
from stoker.doctor.finding import (
    Finding,
    Public,
    Value,
    address,
    found,
    known,
    limit,
    model_name,
    version,
)
from stoker.doctor.snapshot import CertificateFault, EndpointReading, Failure, Readings
from stoker.engines import ENGINES
from stoker.network_addresses import is_loopback
from stoker.server import Deployment, LiveState

_MODELS_SHOWN = 3
_GATEWAY_FAILURES: Mapping[Failure, str] = {
    "refused": "Nothing listens there: the gateway crashed or was stopped.",
    "timeout": "It does not answer in time: it hangs, or the machine is overloaded.",
}
#: Container states in which the engine can answer, or soon will.
_CONTAINER_WELL = ("running", "restarting")
_CONTAINER_STATES = ("gone", "created", "paused", "removing", "exited", "dead")
_CERTIFICATES: Mapping[CertificateFault, str] = {
    "expired": "tls.expired",
    "name": "tls.name",
    "untrusted": "tls.untrusted",
}


def targets(r: Readings) -> list[EndpointReading]:
    """The addresses that a chat depends on.

    That is the one asked about, else the deployment's, else those that editors use.
    """
    if r.asked is not None:
        return [r.endpoints[r.asked]]
    if r.deployment is not None:
        return [r.endpoints[r.deployment.spec.endpoint]]
    used = (look.effective(vscode.ENDPOINT) for look in r.editors)
    texts = dict.fromkeys(u[0] for u in used if u and isinstance(u[0], str) and u[0].strip())
    return [r.endpoints[text] for text in texts if r.endpoints[text].failure != "invalid"]


def engine(r: Readings) -> Iterator[Finding]:
    """Whether the deployment's engine runs."""
    d = r.deployment
    if d is None:
        yield found("engine.elsewhere" if targets(r) else "engine.none")
        return
    name = known(d.spec.plan.engine, ENGINES)
    wrong = _engine_problem(r, d, name)
    if wrong is not None:
        yield wrong
    else:
        yield found("engine.ok", engine=name, model=model_name(d.spec.plan.model.id))
    if r.running and d.state.restarts and d.state.answering:
        yield found("engine.restarted", engine=name, count=d.state.restarts)
    yield from _completion(r, d)


def _completion(r: Readings, d: Deployment) -> Iterator[Finding]:
    """Whether the engine that completes code beside it runs, where one was started."""
    spec, state = d.spec.completion, d.completion
    if spec is None or state is None or not r.running:
        return
    name = known(spec.plan.engine, ENGINES)
    if state.status == "restarting":
        yield found("engine.completion-restarting", engine=name)
    elif state.status in ("failed", "silent"):
        yield found("engine.completion-failed", engine=name, **_recorded_problem(state))
    elif state.status == "ready":
        yield found("engine.completes", engine=name, model=model_name(spec.plan.model.id))


def _engine_problem(r: Readings, d: Deployment, name: Value) -> Finding | None:
    if d.state.status == "failed":
        return found("engine.failed", engine=name, **_recorded_problem(d.state))
    if d.state.supervisor is not None and not r.running:
        return found("engine.killed")
    if d.state.status == "starting":
        phase = d.state.phases[-1].name if d.state.phases else "start"
        return found("engine.starting", engine=name, phase=known(phase, _PHASES))
    if d.state.status == "restarting":
        return found("engine.restarting", engine=name)
    return _ready_and_yet(r, d, name)


def _ready_and_yet(r: Readings, d: Deployment, name: Value) -> Finding | None:
    """What is wrong with an engine whose recorded status is ready."""
    if r.container_status is not None and r.container_status not in _CONTAINER_WELL:
        return found("engine.container-gone", status=known(r.container_status, _CONTAINER_STATES))
    if d.state.problem is not None:
        return found("engine.silent", engine=name, **_recorded_problem(d.state))
    return found("engine.gone", engine=name) if r.engine_alive is False else None


def _recorded_problem(engine: LiveState) -> dict[str, Value]:
    """The problem that the supervisor recorded of an engine."""
    problem = engine.problem
    if problem is None:
        return dict(_NO_PROBLEM_RECORDED)
    return {"problem": problem.what, "cause": problem.why, "remedy": problem.fix}


_NO_PROBLEM_RECORDED: Mapping[str, Value] = {
    "problem": Public(""),
    "cause": Public("The log has no details."),
    "remedy": Public("Read the log: stoker logs --explain."),
}
#: The supervisor's own phases; engines add more.
_PHASES = ("start", "pull image", "ready")


def gateway(r: Readings) -> Iterator[Finding]:
    """Whether a Stoker gateway answers: the deployment's, or one that editors use."""
    ours = r.endpoints[r.deployment.spec.endpoint] if r.deployment and r.running else None
    there = ours or next((t for t in targets(r) if t.stoker_version), None)
    if there is None:
        yield found("gateway.none")
    elif there.failure is not None:
        other = "It does not answer with valid HTTP."
        problem = Public(_GATEWAY_FAILURES.get(there.failure, other))
        yield found("gateway.silent", address=address(there.url), problem=problem)
    elif there.stoker_version is None:
        following = r.port.next_free or r.port.port + 1
        yield found("gateway.stranger", address=address(there.url), next=following)
    else:
        yield from _answering_gateway(there, r.stoker_version, is_ours=ours is not None)
    spec = r.deployment.spec if ours is not None and r.deployment is not None else None
    if spec is not None and spec.insecure and not is_loopback(spec.bind):
        yield found("gateway.open", bind=known(spec.bind, ("0.0.0.0", "::")))  # noqa: S104


def _answering_gateway(
    there: EndpointReading, installed: str, *, is_ours: bool
) -> Iterator[Finding]:
    """A gateway that answers. Its version counts only where it runs on this machine."""
    if not there.ready:
        yield found("gateway.loading")
    else:
        yield found("gateway.ok", address=address(there.url), ms=there.took_ms)
    down = there.backends - there.backends_up
    if there.ready and down:
        yield found("gateway.backends-down", down=down, count=there.backends)
    if is_ours and there.stoker_version != installed:
        running = version(there.stoker_version)
        yield found("gateway.older", running=running, installed=version(installed))


def endpoint(r: Readings) -> Iterator[Finding]:
    """Whether the endpoint in VS Code's setting answers as VS Code expects."""
    if not targets(r):
        yield found("endpoint.none")
    for there in targets(r):
        yield _answered(there) if there.failure is None else _failed(there)


def _failed(there: EndpointReading) -> Finding:
    shown = address(there.url)
    if there.failure == "timeout":
        return found("endpoint.timeout", address=shown, seconds=WITHIN_S)
    if there.failure in ("refused", "unresolved", "certificate"):
        return found(f"endpoint.{there.failure}", address=shown)
    return found("endpoint.broken-off", address=shown)


def _answered(there: EndpointReading) -> Finding:
    shown, status = address(there.url), there.status or 0
    if status in (401, 403):
        kind = "endpoint.key-refused" if there.with_key else "endpoint.key"
        return found(kind, address=shown, status=status)
    if status >= 500:
        return found("endpoint.failing", address=shown, status=status)
    if there.models is None:
        return found("endpoint.not-openai", address=shown, status=status)
    if not there.models:
        return found("endpoint.no-models", address=shown)
    names = [model_name(model.id) for model in there.models[:_MODELS_SHOWN]]
    return found("endpoint.ok", address=shown, count=len(there.models), models=_joined(names))


def _joined(names: list[Value]) -> Value:
    text = ", ".join(str(name) for name in names)
    return Public(text) if all(isinstance(name, Public) for name in names) else text


def tls(r: Readings) -> Iterator[Finding]:
    """Whether VS Code accepts the endpoint's certificate, and will for some days."""
    judged = [finding for there in targets(r) for finding in _certificate(there)]
    yield from judged or [found("tls.none")]


def _certificate(there: EndpointReading) -> Iterator[Finding]:
    parts = urlsplit(there.url)
    shown, days = address(there.url), there.certificate_days
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield found("tls.plain", address=shown)
    elif there.certificate_fault is not None:
        yield found(_CERTIFICATES[there.certificate_fault], address=shown)
    elif days is not None and days < limit("certificate_warning_days"):
        yield found("tls.expiring", address=shown, days=days)
    elif days is not None:
        yield found("tls.ok", days=days)


def clock(r: Readings) -> Iterator[Finding]:
    """Whether this machine's clock agrees with the dates in other servers' answers."""
    compared = [*_clocks(r)]
    off = [(server, s) for server, s in compared if abs(s) > limit("clock_skew_s")]
    if not compared:
        yield found("clock.unknown")
    elif not off:
        yield found("clock.ok", server=compared[0][0])
    else:
        server, seconds = off[0]
        direction = Public("ahead of" if seconds > 0 else "behind")
        yield found("clock.off", seconds=abs(round(seconds)), direction=direction, server=server)


def _clocks(r: Readings) -> Iterator[tuple[Value, float]]:
    if r.hub is not None and r.hub.clock_ahead_s is not None:
        yield Public("the model hub"), r.hub.clock_ahead_s
    for there in targets(r):
        elsewhere = not is_loopback(urlsplit(there.url).hostname or "")
        if elsewhere and there.clock_ahead_s is not None:
            yield address(there.url), there.clock_ahead_s
