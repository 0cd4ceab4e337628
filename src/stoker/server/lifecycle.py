"""Start a deployment, follow it until it is ready, and stop it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace

from stoker import engines, paths
from stoker.engines import ContainerLaunch, Options, ProcessLaunch
from stoker.errors import Problem, StokerError
from stoker.planning import Plan
from stoker.server import deployment_state, log_file, ports, processes
from stoker.server.completion_niceness import completion_niceness
from stoker.server.deployment_state import Deployment, LaunchSpec, LiveState
from stoker.server.log_lines import Lines
from stoker.server.processes import ProcessId
from stoker.server.slot_folder import with_slot_folder
from stoker.server.supervisor_lock import lock, require_not_tuning, unrecorded

_POLL_S = 0.05
#: Answers get 10 s to end, engine and gateway 5 s each; then the supervisor is ended.
_STOP_S = 25.0


def start(spec: LaunchSpec) -> Deployment:
    """Start ``spec`` in the background, or adopt what runs already if it is the same.

    Returns at once with the deployment as it stands; ``follow`` yields what comes next. Raises
    ``StokerError`` when another plan runs and it is not to be replaced, or the port is taken.
    """
    wanted = Deployment(spec)
    with lock("start"):
        running = _running()
        if running is not None and _same(running.spec, spec):
            return running
        _make_room(spec)
        deployment_state.write(wanted)
        supervisor = _spawn(spec.options.key)
    return replace(wanted, state=replace(wanted.state, supervisor=supervisor))


def already_running(requirements: tuple[str, ...], bind: str, port: int) -> Deployment | None:
    """The deployment that runs, where the same launch request led to it at the same address."""
    running = _running()
    if running is None:
        return None
    spec = running.spec
    same = (spec.requirements, spec.bind, spec.port) == (requirements, bind, port)
    return running if same else None


def reclaimable_bytes() -> int:
    """Main memory that would be free if what runs now were stopped."""
    running = deployment_state.read()
    return sum(processes.memory_bytes(e.engine) or 0 for e in running.engines) if running else 0


def serve(spec: LaunchSpec) -> Generator[Deployment, None, None]:
    """Run ``spec`` in this process and yield each new value of its deployment, until it is stopped.

    Closing the iterator stops it. Raises ``StokerError`` if it fails.
    """
    from stoker.server import server as supervisor  # noqa: PLC0415  (the web server: only for this)

    with lock("start"):
        _make_room(spec)
    latest = Deployment(spec)
    try:
        with closing(supervisor.serve(spec)) as changes:
            for latest in changes:
                yield latest
    finally:
        _remove_container(latest)
    if latest.state.status == "failed":
        deployment_state.remove()
        raise StokerError.of(latest.state.problem or Problem("It failed."))


def require_keys(bind: str, *, insecure: bool) -> None:
    """Raise early, before a download, where any machine could use the gateway without a key."""
    # Commands that start nothing ask for no keys.
    from stoker.access import open_gateway  # noqa: PLC0415
    from stoker.access.key_store import KeyStore  # noqa: PLC0415
    from stoker.server import sign_on_file  # noqa: PLC0415

    protected = KeyStore().keys().required or sign_on_file.rules().required
    open_gateway.refuse_open(bind, protected=protected, insecure=insecure)


def check_can_start(bind: str, port: int) -> None:
    """Raise early, before a download, where the address is taken by another program."""
    deployment_state.state_folder()
    require_recorded()
    require_not_tuning()
    deployment = deployment_state.read()
    if deployment is None or not deployment.state.alive:
        ports.require_free(bind, port)


def require_recorded() -> None:
    """Raise ``StokerError`` where a deployment runs whose state can't be read."""
    supervisor = unrecorded()
    if supervisor is not None:
        raise StokerError(
            "A deployment is running, but Stoker can't read its state.",
            f"Its supervisor is process {supervisor.pid}; the file in {paths.state_dir()} is "
            "damaged, gone, or of another version of Stoker.",
            "Stop it: stoker down. Then start again: stoker up.",
        )


def dry_run(plan: Plan, options: Options) -> ProcessLaunch | ContainerLaunch:
    """What ``start`` would run, on a port that is free now and without the key it would make."""
    options = with_slot_folder(plan, options)
    return engines.get(plan.engine).launch(plan, port=ports.any_free(), key="", options=options)


def dry_run_completion(plan: Plan, options: Options) -> ProcessLaunch | ContainerLaunch:
    """What ``start`` would run beside that, to complete code."""
    niceness = completion_niceness(plan)
    options = replace(options, stands_back=niceness > 0)
    launch = engines.get(plan.engine).launch(plan, port=ports.any_free(), key="", options=options)
    if isinstance(launch, ContainerLaunch):
        return launch
    return replace(launch, argv=processes.standing_back(launch.argv, niceness))


def _make_room(spec: LaunchSpec) -> None:
    """Stop what ``spec`` replaces. Raises ``StokerError`` where it is not to be replaced."""
    running = _running()
    if running is not None and not spec.replace:
        raise _another_runs(running.spec, spec)
    if not spec.replace:
        require_recorded()
    require_not_tuning()
    # A container of the same plan is adopted while it runs, so it is kept.
    stop(keep_container=True)
    ports.require_free(spec.bind, spec.port)
    log_file.open_log()  # fails here, where the user sees the message, not in the background


def _running() -> Deployment | None:
    """The deployment that runs. One that failed does not, even if it still completes code."""
    deployment = deployment_state.read()
    if deployment is None or not deployment.state.alive or deployment.state.status == "failed":
        return None
    return deployment


def differences(running: LaunchSpec, wanted: LaunchSpec) -> list[str]:
    """What is different about the launch that is wanted, a phrase each."""
    pairs = [
        ("model", running.plan.model.id, wanted.plan.model.id),
        ("engine", running.plan.engine, wanted.plan.engine),
        ("context", running.plan.max_model_len, wanted.plan.max_model_len),
        ("parallel", running.plan.parallel, wanted.plan.parallel),
        ("address", f"{running.bind}:{running.port}", f"{wanted.bind}:{wanted.port}"),
        ("TLS", _tls_words(running), _tls_words(wanted)),
        ("completion", _completion_words(running), _completion_words(wanted)),
    ]
    found = [f"{name} {old} -> {new}" for name, old, new in pairs if old != new]
    if found or running.plan.fingerprint == wanted.plan.fingerprint:
        return found or ["arguments of the completion engine"]
    values = {a.name: a.value for a in running.plan.arguments}
    return [
        f"{a.name} {values.get(a.name)} -> {a.value}"
        for a in wanted.plan.arguments
        if values.get(a.name) != a.value
    ] or ["model file"]


def _completion_words(spec: LaunchSpec) -> str:
    """What completes code beside it, for a message."""
    return spec.completion.plan.model.id if spec.completion else "none"


def _tls_words(spec: LaunchSpec) -> str:
    """The files of its certificate, for a message."""
    return " ".join(map(str, spec.tls.all)) if spec.tls else "none"


def follow(deployment: Deployment) -> Iterator[Deployment]:
    """Every value that the deployment takes, until it is ready or has failed.

    A busy machine may take long to start its supervisor, so only one that has ended is given up.
    """
    seen: Deployment | None = None
    while True:
        latest = deployment_state.read()
        if latest is not None and latest.state.supervisor is not None and latest != seen:
            seen = latest
            yield latest
            if latest.state.answering or latest.state.status == "failed":
                return
        alive = deployment.state.alive or (latest is not None and latest.state.alive)
        if not alive and deployment_state.read() == latest:  # its last words may be newer
            raise StokerError(
                "The supervisor ended before the engine was ready.",
                _last_words() or "It was killed, or this machine can't run it.",
                f"See its log in {paths.log_dir()}.",
            )
        time.sleep(_POLL_S)


def stop(*, keep_container: bool = False) -> bool:
    """Stop the deployment and forget it. Whether there was anything to stop.

    The engine's container is removed unless ``keep_container``: then it stays, stopped, with its
    log, until the next start replaces it.

    Only the written state is used, so it also cleans up after a supervisor that was killed and
    after a reboot: a process is signalled only if it is still the one that was started. Where the
    state can't be read, the supervisor is found by the lock that it holds. Raises ``StokerError``
    where one runs that can't be found.
    """
    deployment = deployment_state.read()
    if deployment is None:
        return _stop_unrecorded()
    supervisor = deployment.state.supervisor
    process = supervisor.process() if supervisor else None
    if process is not None and supervisor is not None:
        process.terminate()
        _wait_gone(supervisor)
    ended = [processes.end(each.engine, grace_s=5.0) for each in deployment.engines]
    # The container may have been named since the state was read.
    latest = deployment_state.read() or deployment
    removed = not keep_container and _remove_container(latest)
    deployment_state.remove()
    return process is not None or any(ended) or removed


def _stop_unrecorded() -> bool:
    """Stop the supervisor that no readable state describes. Whether there was one."""
    identity = unrecorded()
    process = identity.process() if identity else None
    if identity is None or process is None:
        return False
    children = [ProcessId.of(child.pid) for child in process.children(recursive=True)]
    process.terminate()
    _wait_gone(identity)
    for child in children:
        processes.end(child, grace_s=5.0)
    deployment_state.remove()
    return True


def _remove_container(deployment: Deployment) -> bool:
    """Remove what is left of the engines' containers. Whether there was one."""
    names = [each.container for each in deployment.engines if each.container is not None]
    if not names:
        return False
    from stoker.server.docker_client import Containers  # noqa: PLC0415  (slow to import)

    try:
        containers = Containers(deployment.spec.options.endpoint)
        removed = [containers.remove(name) for name in names]
        return any(removed)
    except StokerError:
        return False  # no runtime, no container: down must work nevertheless


def container_lines(name: str) -> Iterator[str]:
    """The log of any container, since its last start. Raises ``StokerError`` where none is."""
    from stoker.server.docker_client import Containers  # noqa: PLC0415  (slow to import)

    containers = Containers()
    found = containers.find(name)
    lines = Lines()
    for piece in containers.log(name, found.started_at if found else None):
        yield from lines.feed(piece)
    yield from lines.end()
    if found is not None and not found.alive:
        yield f"container state: {'OOMKilled' if found.out_of_memory else found.error}"


def container_status(deployment: Deployment) -> str | None:
    """The runtime's status of the engine's container, such as "running"; "gone" without one.

    ``None`` where the engine is in no container, or the runtime does not answer.
    """
    name = deployment.state.container
    if name is None:
        return None
    from stoker.server.docker_client import Containers  # noqa: PLC0415  (slow to import)

    try:
        found = Containers(deployment.spec.options.endpoint).find(name)
    except StokerError:
        return None
    return found.status if found else "gone"


def engine_pids(deployment: Deployment) -> frozenset[int]:
    """The processes of its engines, where they run as processes of this machine."""
    return frozenset[int]().union(*(processes.pids(each.engine) for each in deployment.engines))


def engine_memory_bytes(engine: LiveState | None) -> int | None:
    """Main memory that an engine holds now, in bytes; ``None`` where it does not run."""
    return processes.memory_bytes(engine.engine if engine else None)


def _wait_gone(supervisor: ProcessId) -> None:
    deadline = time.monotonic() + _STOP_S
    while supervisor.process() is not None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    processes.end(supervisor, grace_s=1.0)


def _last_words() -> str:
    """The last line that a supervisor which ended at once has written."""
    try:
        text = (paths.log_dir() / "supervisor.err").read_text(errors="replace").strip()
    except OSError:
        return ""
    return f"Its last output: {text.splitlines()[-1]}." if text else ""


def _same(running: LaunchSpec, wanted: LaunchSpec) -> bool:
    address = (running.bind, running.port, running.tls) == (wanted.bind, wanted.port, wanted.tls)
    return address and _fingerprints(running) == _fingerprints(wanted)


def _fingerprints(spec: LaunchSpec) -> tuple[str, ...]:
    plans = (spec.plan, *([spec.completion.plan] if spec.completion else []))
    return tuple(plan.fingerprint for plan in plans)


def _another_runs(running: LaunchSpec, wanted: LaunchSpec) -> StokerError:
    fix = "Add --replace to replace it, or stop it first: stoker down."
    is_chosen = not wanted.asked_model and running.plan.model.id != wanted.plan.model.id
    if is_chosen and running.options.adopted is None and wanted.options.adopted is None:
        model = running.asked_model or running.plan.model.id
        named = replace(wanted, requirements=(model, *wanted.requirements[1:]))
        fix = f"To keep its model, name it: `{named.command} --replace`. Or: {fix}"
    return StokerError(
        "Another deployment is running.",
        f"It differs from what would be started: {'; '.join(differences(running, wanted))}.",
        fix,
    )


def _spawn(key: str | None) -> ProcessId:
    """Start the supervisor so that it outlives this process and its terminal.

    The key of an adopted server reaches it by a pipe: no file and no process list has it.
    """
    with (paths.log_dir() / "supervisor.err").open("wb") as stderr:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "stoker.server.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    with contextlib.suppress(BrokenPipeError):  # it has ended: ``follow`` reports why
        assert supervisor.stdin is not None  # noqa: S101  (a pipe, see above)
        with supervisor.stdin as pipe:
            pipe.write(f"{key or ''}\n".encode())
    return ProcessId.of(supervisor.pid)
