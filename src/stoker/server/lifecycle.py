"""Start a deployment in the background, follow it until it is ready, and stop it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from stoker import engines, paths
from stoker.engines import ContainerLaunch, Options, ProcessLaunch
from stoker.errors import StokerError
from stoker.planning import Plan
from stoker.server import deployment_state, log_file, ports, processes
from stoker.server.deployment_state import Deployment, ProcessId
from stoker.server.log_lines import Lines

_POLL_S = 0.05
#: Answers get 10 s to end, engine and gateway 5 s each; then the supervisor is ended.
_STOP_S = 25.0
_BOOT_S = 15.0


@dataclass(frozen=True, slots=True)
class Run:
    """Where a plan is to run, and what it came of.

    ``requirements`` is what the person asked for: the plan that follows from it changes with the
    free memory, so the requirements decide whether a deployment is the one asked for.
    """

    bind: str
    port: int
    requirements: tuple[str, ...] = ()
    #: Put it in the place of what runs now.
    replace: bool = False
    #: How the engine is run, where there is a choice.
    options: Options = field(default_factory=Options)
    #: Arguments that the person set: Stoker does not change them by itself.
    fixed: tuple[str, ...] = ()
    #: How ``stoker up`` was called, but for the model: ``--name=value`` each.
    flags: tuple[str, ...] = ()

    @classmethod
    def again(cls, deployment: Deployment) -> Run:
        """The run that the deployment came of."""
        return cls(
            deployment.bind,
            deployment.port,
            deployment.requirements,
            options=deployment.options,
            fixed=deployment.fixed,
            flags=deployment.flags,
        )

    def of(self, plan: Plan) -> Deployment:
        """The deployment of ``plan`` that is to be."""
        return Deployment(
            plan=plan,
            bind=self.bind,
            port=self.port,
            requirements=self.requirements,
            options=self.options,
            replace=self.replace,
            fixed=self.fixed,
            flags=self.flags,
        )


def start(plan: Plan, run: Run) -> Deployment:
    """Start ``plan`` in the background, or adopt what runs already if it is the same.

    Returns at once with the deployment as it stands; ``follow`` tells how it goes on. Raises
    ``StokerError`` when another plan runs and it is not to be replaced, or the port is taken.
    """
    wanted = run.of(plan)
    with deployment_state.lock("start"):
        running = deployment_state.read()
        if running is not None and running.running and _same(running, wanted):
            return running
        _clear_the_way(wanted, run.replace)
        deployment_state.write(wanted)
        _spawn()
    return wanted


def already_running(run: Run) -> Deployment | None:
    """The deployment that runs, where it came of the same wishes at the same address."""
    running = deployment_state.read()
    if running is None or not running.running or running.status == "failed":
        return None
    same = (running.requirements, running.bind, running.port) == (
        run.requirements,
        run.bind,
        run.port,
    )
    return running if same else None


def reclaimable_bytes() -> int:
    """Main memory that would be free if what runs now were stopped."""
    running = deployment_state.read()
    return (processes.memory_bytes(running.engine) or 0) if running else 0


def serve(plan: Plan, run: Run, on_change: Callable[[Deployment], None] | None = None) -> None:
    """Run ``plan`` in this process until it is told to stop. Raises ``StokerError`` if it fails."""
    from stoker.server import server as supervisor  # noqa: PLC0415  (the web server: only for this)

    wanted = run.of(plan)
    with deployment_state.lock("start"):
        _clear_the_way(wanted, run.replace)
    latest = wanted

    def note(now: Deployment) -> None:
        nonlocal latest
        latest = now
        if on_change is not None:
            on_change(now)

    exit_code = supervisor.serve(wanted, note)
    _remove_container(latest)
    if exit_code != 0:
        failed = deployment_state.read()
        deployment_state.remove()
        raise failed.problem.error() if failed and failed.problem else StokerError("It failed.")


def check_can_start(run: Run) -> None:
    """Raise early, before a download, where the address is taken by another program."""
    deployment_state.state_folder()
    require_recorded()
    running = deployment_state.read()
    if running is None or not running.running:
        ports.require_free(run.bind, run.port)


def require_recorded() -> None:
    """Raise ``StokerError`` where a deployment runs of which nothing readable is written."""
    supervisor = deployment_state.unrecorded()
    if supervisor is not None:
        raise StokerError(
            "A deployment runs that Stoker can't read the state of.",
            f"Its supervisor is process {supervisor.pid}; what it wrote in {paths.state_dir()} is "
            "damaged, gone, or of another version of Stoker.",
            "Stop it: stoker down. Then start again: stoker up.",
        )


def dry_run(plan: Plan, options: Options) -> ProcessLaunch | ContainerLaunch:
    """What ``start`` would run, on a port that is free now and without the key it would draw."""
    return engines.get(plan.engine).launch(plan, port=ports.any_free(), key="", options=options)


def _clear_the_way(wanted: Deployment, replace: bool) -> None:
    running = deployment_state.read()
    if running is not None and running.running and not replace:
        raise _another_runs(running, wanted)
    if not replace:
        require_recorded()
    # A container of the same plan is taken over as it runs, so it is left where it is.
    stop(keep_container=True)
    ports.require_free(wanted.bind, wanted.port)
    log_file.open_log()  # fails here, with words, rather than in the background


def differences(running: Deployment, wanted: Deployment) -> list[str]:
    """What is different about the deployment that is wanted, a phrase each."""
    pairs = [
        ("model", running.plan.model.id, wanted.plan.model.id),
        ("engine", running.plan.engine, wanted.plan.engine),
        ("context", running.plan.max_model_len, wanted.plan.max_model_len),
        ("parallel", running.plan.parallel, wanted.plan.parallel),
        ("address", f"{running.bind}:{running.port}", f"{wanted.bind}:{wanted.port}"),
    ]
    found = [f"{name} {old} -> {new}" for name, old, new in pairs if old != new]
    if found or running.plan.fingerprint == wanted.plan.fingerprint:
        return found
    values = {a.name: a.value for a in running.plan.arguments}
    return [
        f"{a.name} {values.get(a.name)} -> {a.value}"
        for a in wanted.plan.arguments
        if values.get(a.name) != a.value
    ] or ["model file"]


def follow(deployment: Deployment) -> Iterator[Deployment]:
    """Every state that the deployment goes through, until it is ready or has failed."""
    deadline = time.monotonic() + _BOOT_S
    seen: Deployment | None = None
    while True:
        latest = deployment_state.read()
        if latest is not None and latest.supervisor is not None and latest != seen:
            seen = latest
            yield latest
            if latest.status in ("ready", "failed"):
                return
        if time.monotonic() > deadline and not _alive(latest):
            raise StokerError(
                "The supervisor ended before the engine was ready.",
                _last_words() or "It was killed, or this machine can't run it.",
                f"See {paths.log_dir()} for all that it said.",
            )
        time.sleep(_POLL_S)


def stop(*, keep_container: bool = False) -> bool:
    """Stop the deployment and forget it. Whether there was anything to stop.

    The engine's container is removed unless ``keep_container``: then it stays, stopped, with its
    log, until the next start replaces it.

    Works from the written state alone, so it also cleans up after a supervisor that was killed
    and after a reboot: a process is signalled only if it is still the one that was started. Where
    the state can't be read, the supervisor is found by the lock that it holds. Raises
    ``StokerError`` where one runs that can't be found.
    """
    deployment = deployment_state.read()
    if deployment is None:
        return _stop_unrecorded()
    process = deployment.supervisor.process() if deployment.supervisor else None
    if process is not None and deployment.supervisor is not None:
        process.terminate()
        _wait_gone(deployment.supervisor)
    ended = processes.end(deployment.engine, grace_s=5.0)
    # The container may have been named since the state was read.
    latest = deployment_state.read() or deployment
    removed = not keep_container and _remove_container(latest)
    deployment_state.remove()
    return process is not None or ended or removed


def _stop_unrecorded() -> bool:
    """Stop the supervisor that no readable state tells of. Whether there was one."""
    identity = deployment_state.unrecorded()
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
    """Remove what is left of the engine's container. Whether there was one."""
    if deployment.container is None:
        return False
    from stoker.server.docker_client import Containers  # noqa: PLC0415  (slow to import)

    try:
        return Containers(deployment.options.endpoint).remove(deployment.container)
    except StokerError:
        return False  # no runtime, no container: down must work all the same


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
    """What the runtime says of the engine's container, such as "running"; "gone" without one.

    ``None`` where the engine is in no container, or the runtime does not answer.
    """
    if deployment.container is None:
        return None
    from stoker.server.docker_client import Containers  # noqa: PLC0415  (slow to import)

    try:
        found = Containers(deployment.options.endpoint).find(deployment.container)
    except StokerError:
        return None
    return found.status if found else "gone"


def engine_pids(deployment: Deployment) -> frozenset[int]:
    """The processes of the engine, where it runs as processes of this machine."""
    return processes.pids(deployment.engine)


def engine_memory_bytes(deployment: Deployment) -> int | None:
    """Main memory that the engine holds now, in bytes; ``None`` where it does not run."""
    return processes.memory_bytes(deployment.engine)


def _wait_gone(supervisor: ProcessId) -> None:
    deadline = time.monotonic() + _STOP_S
    while supervisor.process() is not None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    processes.end(supervisor, grace_s=1.0)


def _last_words() -> str:
    """The last line that a supervisor which ended at once has written."""
    try:
        said = (paths.log_dir() / "supervisor.err").read_text(errors="replace").strip()
    except OSError:
        return ""
    return f"It says: {said.splitlines()[-1]}." if said else ""


def _alive(deployment: Deployment | None) -> bool:
    return deployment is not None and deployment.running


def _same(running: Deployment, wanted: Deployment) -> bool:
    address = (running.bind, running.port) == (wanted.bind, wanted.port)
    return address and running.plan.fingerprint == wanted.plan.fingerprint


def _another_runs(running: Deployment, wanted: Deployment) -> StokerError:
    return StokerError(
        "Another deployment is running.",
        f"It differs from what you ask for: {'; '.join(differences(running, wanted))}.",
        "Add --replace to put the new one in its place, or stop it first: stoker down.",
    )


def _spawn() -> None:
    """Start the supervisor so that it outlives this process and its terminal."""
    with (paths.log_dir() / "supervisor.err").open("wb") as stderr:
        subprocess.Popen(
            [sys.executable, "-m", "stoker.server.server"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
