"""The one launch pipeline: launch request, choice, launch spec, deployment. Values in, events out.

``LaunchEvents`` are generators: they continue when the next event is asked for, so closing one
declines what it would do next. All functions raise ``StokerError`` where they fail. Nothing is
printed or asked here.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from stoker import checks, host, models, network_addresses, paths, server
from stoker.application import launch_events, measured_memory, measured_speed
from stoker.application.choice import Choice, choose
from stoker.application.event_stream import as_events
from stoker.application.launch_events import LaunchEvent, LaunchEvents
from stoker.application.launch_request import HostFacts, LaunchRequest, this_machine
from stoker.certificates.certificate_files import CertificateFiles, host_for, inspect
from stoker.database_addresses import SQLITE
from stoker.engines import (
    ContainerLaunch,
    Options,
    PlacementRequest,
    ProcessLaunch,
    Recognised,
    placement,
)
from stoker.errors import StokerError, UsageError
from stoker.planning import Plan
from stoker.server import CompletionSpec, Deployment, LaunchSpec

#: Short to read and to answer, and an answer in code is what an editor asks for.
QUESTION = "Write a Python function is_prime(n). Only the code."
_ANSWER_TOKENS = 200
#: The name of a container with the completion engine.
_COMPLETION_CONTAINER = "stoker-completion"


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """Where and how the choice is run: what a ``LaunchRequest`` leaves open."""

    bind: str = "127.0.0.1"
    port: int = 8000
    #: Replace what runs now.
    replace: bool = False
    #: Serve in this process until it is stopped.
    foreground: bool = False
    #: Leave an engine starting where the reader stops before it is ready.
    keep: bool = False
    #: Arguments of the engine that the user sets, as ``NAME=VALUE``.
    engine_args: tuple[str, ...] = ()
    image: str | None = None
    name: str | None = None
    private_ipc: bool = False
    volumes: tuple[str, ...] = ()
    #: Where the gateway records usage, as ``usage_records.store_at`` reads it.
    usage: str = SQLITE
    #: The options of ``stoker up`` that lead to the same request and settings, for messages.
    flags: tuple[str, ...] = ()
    #: Listen beyond this machine without keys.
    insecure: bool = False
    #: The files of the gateway's certificate; ``None`` serves plain HTTP.
    tls: CertificateFiles | None = None

    @property
    def endpoint(self) -> str:
        """The base URL. Raises ``StokerError`` where the certificate is not in order."""
        scheme = "https" if self.tls else "http"
        return network_addresses.endpoint(self.host or self.bind, self.port, scheme)

    @property
    def host(self) -> str:
        """The host that the certificate is for; empty where that follows from ``bind``."""
        return host_for(self.bind, inspect(self.tls).names) if self.tls else ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a launch would start."""

    choice: Choice
    plan: Plan
    launch: ProcessLaunch | ContainerLaunch
    #: Of the engine beside it that completes code; ``None`` where there is none.
    completion: ProcessLaunch | ContainerLaunch | None = None


def preview(request: LaunchRequest, machine: HostFacts, settings: LaunchSettings) -> Preview:
    """Choose for ``machine`` and show what would be started there; start nothing."""
    choice = choose(request, machine)
    plan = server.overridden(choice.plan, settings.engine_args)
    wanted = _placement(request, machine, settings)
    options = placement.place(plan, machine.host, wanted)
    beside = choice.completion.plan if choice.completion else None
    own = _completion_options(choice, machine, wanted)
    completion = server.dry_run_completion(beside, own) if beside and own else None
    return Preview(choice, plan, server.dry_run(plan, options), completion)


def start_model(request: LaunchRequest, settings: LaunchSettings) -> LaunchEvents:
    """Choose, download, place, start and verify; the last event is ``Verified``.

    What runs already for the same request is verified and not started again. In the foreground
    the events go on until the deployment is stopped.
    """
    server.require_keys(settings.bind, insecure=settings.insecure)
    if not settings.foreground:
        running = server.already_running(identity(request, settings), settings.bind, settings.port)
        if running is not None:
            yield launch_events.AlreadyRunning(running)
            yield from _verify((yield from _follow(running)))
            return
    if not settings.replace:
        server.check_can_start(settings.bind, settings.port)
    spec = yield from _prepare(request, settings)
    if settings.foreground:
        yield launch_events.Starting(spec, server.last_start_s(spec))
        with closing(server.serve(spec)) as changes:
            yield from map(launch_events.StateChanged, changes)
        return
    started = datetime.now(timezone.utc).astimezone()  # the log's stamps are local
    deployment = yield from _start(spec, keep=settings.keep)
    verified = yield from _verify(deployment)
    machine = host.detect(paths.cache_dir(), ask_hub=False)
    # Arguments that the user set, or that a failed start changed, may change the memory.
    if not settings.engine_args and deployment.spec.plan.arguments == spec.plan.arguments:
        measured_memory.remember(spec.plan, machine, server.read_log(started))
    measured_speed.remember_answer(
        spec.plan,
        machine,
        verified.answer.completion_tokens,
        verified.answer.tokens_per_s,
    )


def recognise(url: str, key: str | None, key_env: str | None = None) -> Recognised:
    """The server at ``url``. Raises ``UsageError`` where it is the gateway that runs here."""
    _refuse_own(url)
    return server.look_at(url, key, key_env)


def adopt_server(
    url: str, key: str | None, settings: LaunchSettings, key_env: str | None = None
) -> LaunchEvents:
    """Put the gateway in front of the server at ``url``; the last event is ``Ready``.

    ``key_env`` is the variable that ``key`` is from, for messages about it.
    """
    server.require_keys(settings.bind, insecure=settings.insecure)
    if not settings.replace:
        server.check_can_start(settings.bind, settings.port)
    found = recognise(url, key, key_env)
    yield launch_events.ServerRecognised(found)
    plan, options = server.plan_for(found)
    spec = LaunchSpec(
        plan,
        settings.bind,
        settings.port,
        requirements=("adopted", url),
        options=options,
        insecure=settings.insecure,
        replace=settings.replace,
        usage=settings.usage,
        tls=settings.tls,
        host=settings.host,
    )
    yield launch_events.Ready((yield from _start(spec)))


def key_variable() -> str | None:
    """The environment variable with the key of the server that is adopted here, if it needs one."""
    deployment = server.current()
    return deployment.spec.options.key_env if deployment else None


def restart(key: str | None = None) -> LaunchEvents:
    """Stop the deployment and start the same plan again; the last event is ``Ready``.

    ``key`` is that of an adopted server: the deployment's file does not hold it.
    """
    deployment = server.current()
    if deployment is None:
        raise StokerError("There is nothing to restart.", "Nothing was started here.", "stoker up")
    spec = deployment.spec
    spec = replace(spec, options=replace(spec.options, key=key))
    server.require_keys(spec.bind, insecure=spec.insecure)
    server.check_can_start(spec.bind, spec.port)  # while there is still something to start again
    server.stop()
    yield from start_again(spec)


def start_again(spec: LaunchSpec) -> LaunchEvents:
    """Start what was stopped; the last event is ``Ready``."""
    yield launch_events.Ready((yield from _start(replace(spec, replace=False))))


def identity(request: LaunchRequest, settings: LaunchSettings) -> tuple[str, ...]:
    """What distinguishes this launch from others; the same model file is the same launch."""
    path = paths.expanded(request.model) if request.model else None
    model = str(path.resolve()) if path and models.exists(path) else (request.model or "")
    what = (request.engine, request.context, request.parallel, request.purpose, request.users)
    how = (request.python, request.native, settings.image, settings.name, settings.private_ipc)
    others = tuple(str(part or "") for part in (*what, *how, request.completion))
    tls = tuple(map(str, settings.tls.all)) if settings.tls else ()
    return (model, *others, *settings.engine_args, *settings.volumes, *tls)


def fixed_arguments(request: LaunchRequest, settings: LaunchSettings) -> tuple[str, ...]:
    """Arguments that the user set: Stoker does not correct them after a failed start."""
    names = [server.spelled(arg.partition("=")[0]) for arg in settings.engine_args]
    return (*names, "max-model-len") if request.context else tuple(names)


def _prepare(
    request: LaunchRequest, settings: LaunchSettings
) -> Generator[LaunchEvent, None, LaunchSpec]:
    """The best whose model can really be had: a source that fails gives way to the next.

    Raises the first source's error where none can be had.
    """
    yield launch_events.DetectingHost()
    machine = this_machine(ask_hub=not request.offline)
    asked, first_error = request, None
    while True:
        try:
            choice = choose(asked, machine)
            plan = choice.plan
        except StokerError as error:
            raise first_error or error from None
        yield launch_events.Chosen(choice)
        # Before the download: a machine that can't run the engine need not wait for the model.
        wanted = _placement(asked, machine, settings)
        options = placement.place(plan, machine.host, wanted)
        beside = _completion_options(choice, machine, wanted)
        yield from map(launch_events.Placing, placement.install(plan.engine, wanted))
        had: list[Plan] = []
        for each in choice.plans:
            try:
                had.append((yield from _downloaded(each)))
            except StokerError as error:
                first_error = first_error or error
                asked = asked.without(each.model)
                yield launch_events.SourceFailed(each.model, error.problem)
                break
        if len(had) < len(choice.plans):
            continue
        completion = CompletionSpec(had[1], beside) if beside is not None else None
        plan = server.overridden(had[0], settings.engine_args)
        return _spec(plan, options, request, settings, completion)


def _completion_options(
    choice: Choice, machine: HostFacts, wanted: PlacementRequest
) -> Options | None:
    """How the engine beside the chat's is run; ``None`` where there is none."""
    plan = choice.completion.plan if choice.completion else None
    if plan is None:
        return None
    # The name and the image that were asked for are of the chat's container.
    own = replace(wanted, name=_COMPLETION_CONTAINER, image=None, volumes=())
    return placement.place(plan, machine.host, own)


def _spec(
    plan: Plan,
    options: Options,
    request: LaunchRequest,
    settings: LaunchSettings,
    completion: CompletionSpec | None,
) -> LaunchSpec:
    return LaunchSpec(
        plan,
        settings.bind,
        settings.port,
        requirements=identity(request, settings),
        options=options,
        insecure=settings.insecure,
        replace=settings.replace,
        fixed=fixed_arguments(request, settings),
        flags=settings.flags,
        usage=settings.usage,
        tls=settings.tls,
        host=settings.host,
        completion=completion,
    )


def _downloaded(plan: Plan) -> Generator[LaunchEvent, None, Plan]:
    model = yield from as_events(launch_events.Downloading, models.fetch(plan.model))
    return replace(plan, model=model)


def _placement(
    request: LaunchRequest, machine: HostFacts, settings: LaunchSettings
) -> PlacementRequest:
    return PlacementRequest(
        python=request.python,
        native=request.native,
        image=settings.image,
        name=settings.name,
        volumes=settings.volumes,
        private_ipc=settings.private_ipc,
        here=machine.here,
    )


def _start(spec: LaunchSpec, *, keep: bool = False) -> Generator[LaunchEvent, None, Deployment]:
    """Start ``spec`` and follow it until it is ready.

    Where the reader stops before that (Ctrl-C), what was started is stopped too, unless ``keep``.
    """
    yield launch_events.Starting(spec, server.last_start_s(spec))
    started = server.start(spec)
    try:
        return (yield from _follow(started))
    except (KeyboardInterrupt, GeneratorExit):
        if not keep:
            server.stop()
        raise


def _follow(deployment: Deployment) -> Generator[LaunchEvent, None, Deployment]:
    latest = deployment
    for latest in server.follow(deployment):
        yield launch_events.StateChanged(latest)
    problem = latest.state.problem
    if latest.state.status == "failed" and problem is not None:
        server.stop()
        raise StokerError.of(problem)
    return latest


def _verify(
    deployment: Deployment,
) -> Generator[LaunchEvent, None, launch_events.Verified]:
    """Ask the deployment one question through its gateway."""
    yield launch_events.Ready(deployment)
    yield launch_events.Verifying(QUESTION)
    spec = deployment.spec
    pieces = checks.ask(
        spec.endpoint,
        spec.plan.model.served_name,
        QUESTION,
        max_tokens=_ANSWER_TOKENS,
        headers=server.own_headers(),
    )
    answer = yield from as_events(launch_events.AnswerText, pieces)
    verified = launch_events.Verified(deployment, answer)
    yield verified
    return verified


def _refuse_own(url: str) -> None:
    """Raise ``UsageError`` where ``url`` is the gateway that runs here: it can't be its own."""
    running = server.current()
    if running is None or not running.state.alive:
        return
    if not network_addresses.same_server(url, running.spec.endpoint):
        return
    raise UsageError(
        f"{url} is Stoker's own gateway, which runs here.",
        f"It already serves {running.spec.plan.model.id}.",
        "Use it as it is: stoker code. To put it in front of another server, name that one.",
    )
