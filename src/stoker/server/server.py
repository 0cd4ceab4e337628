"""The supervisor process of a deployment: it owns the gateway and the engines' managers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Literal

import aiohttp
from filelock import Timeout

from stoker import engines, paths
from stoker.access.api_keys import Keys
from stoker.certificates import own_certificates
from stoker.certificates.served_certificate import ServedCertificate
from stoker.engines import Backend, ServedModel
from stoker.errors import Problem, StokerError
from stoker.gateway import DeploymentFacts, FitSettings, Gateway, GatewayTimings, Served
from stoker.gateway.heads_ahead import HeadsAhead
from stoker.gateway.limiting.counters import Counters
from stoker.gateway.limiting.local_counters import LocalCounters, QuotaFile
from stoker.gateway.prompt.saved_prompts import SavedPrompts
from stoker.gateway.saved_heads import SavedHeads
from stoker.gateway.timings import DEFAULT_TIMINGS
from stoker.gateway.usage.metrics import Metrics
from stoker.planning import Plan
from stoker.server import deployment_state, log_file, own_key, ports, sign_on_file
from stoker.server.completion_engine import CompletionEngine
from stoker.server.completion_niceness import completion_niceness
from stoker.server.deployment_state import Deployment, LaunchSpec
from stoker.server.diagnosis.log_diagnosis import with_command
from stoker.server.draft_watch import DraftWatch
from stoker.server.engine_factory import PlannedEngineFactory
from stoker.server.engine_manager import EngineManager
from stoker.server.engine_run import EngineFactory
from stoker.server.event_loop import event_loop
from stoker.server.gateway_access import GatewayAccess
from stoker.server.gateway_listener import listening
from stoker.server.processes import ProcessId
from stoker.server.slot_folder import with_slot_folder
from stoker.server.state_record import CompletionRecord, EngineRecord, StateRecord
from stoker.server.supervisor_lock import lock
from stoker.server.timeouts import Timeouts
from stoker.usage_records import USUAL_DAYS, store_at


class Server:
    """A gateway with its engines behind it, from the start to the order to stop.

    ``factory`` starts the engine; by default the one of the launch. ``changes`` receives each new
    value of the deployment, the last one ``failed`` or ``stopped``.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        factory: EngineFactory | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  (frozen)
        timings: GatewayTimings = DEFAULT_TIMINGS,
    ) -> None:
        self._record = StateRecord(Deployment(spec))
        self._factory = factory
        self._timeouts = timeouts
        self._timings = timings
        self._gateway = Gateway(timings=timings, counters=_counters)
        self._gateway.belong_to(lambda: _facts(self._record))
        self._stop = asyncio.Event()
        self._log = log_file.logger()

    @property
    def changes(self) -> asyncio.Queue[Deployment]:
        """Each new value of the deployment."""
        return self._record.changes

    def stop(self) -> None:
        """Order the engine and the gateway to stop. To be called in the event loop."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until the order to stop, or until the engine is given up."""
        me = ProcessId.of(os.getpid())
        self._record.note(supervisor=me, started_at=time.time())
        await self._serve()
        if self._record.state.status != "failed":
            self._record.move("stopped", engine=None)
            deployment_state.remove()
            self._log.info("stopped")

    async def _serve(self) -> None:
        spec = self._record.spec
        try:
            ports.require_free(spec.bind, spec.port)
            access = _guarded(self._gateway, spec)
            self._gateway.record_usage(store_at(spec.usage), USUAL_DAYS)
            certificate = _certificate(spec)
            async with listening(self._gateway, spec.bind, spec.port, certificate) as endpoint:
                self._log.info("gateway listens on %s", endpoint)
                following = asyncio.create_task(access.follow(self._timings.access_poll_s))
                following.add_done_callback(self._stop_unguarded)
                try:
                    await self._run_engine()
                finally:
                    await _end(following)
                    await access.write_log(all_of_it=True)
        except StokerError as error:
            self._fail(error.problem)

    def _stop_unguarded(self, following: asyncio.Task[None]) -> None:
        """Stop a gateway that no longer learns which keys were revoked."""
        if not following.cancelled():
            self.stop()

    async def _run_engine(self) -> None:
        async with aiohttp.ClientSession() as http:
            heads = await self._saved_heads(http)
            backends = _Backends(self._gateway, several=self._record.spec.completion is not None)
            beside = self._beside(http, backends)
            gate = _Gate(_Place(backends, "chat"), http, self._record, heads)
            gate.on_open = beside.start if beside else None
            folder = str(heads.folder) if heads else None
            factory = self._factory or PlannedEngineFactory(http, folder)
            manager = EngineManager(self._record, gate, factory, self._stop, self._timeouts)
            keeping = asyncio.create_task(heads.keep()) if heads else None
            ahead = self._heads_ahead(http) if heads else None
            reading = asyncio.create_task(ahead.keep()) if ahead else None
            watch = DraftWatch(self._gateway, http, self._record, manager.start_again)
            watching = asyncio.create_task(watch.keep())
            try:
                problem = await manager.run()
                if problem is not None:
                    self._fail(problem)
                    if beside:
                        await beside.ended()  # completions go on
            except StokerError as error:
                self._fail(error.problem)
            finally:
                self._stop.set()
                # The engines end before the gateway: that closes every stream, so it waits for
                # none. Each ends whatever becomes of the steps before it, too.
                async with AsyncExitStack() as ending:
                    if beside:
                        ending.push_async_callback(beside.end)
                    ending.push_async_callback(manager.end)
                    await _end(watching)
                    if reading:
                        await _end(reading)
                    await self._gateway.drain(self._timings.drain_s)
                    if heads and keeping:
                        await _end(keeping)
                        await heads.save_last()

    def _beside(self, http: aiohttp.ClientSession, backends: _Backends) -> CompletionEngine | None:
        """What completes code beside the engine; ``None`` where one engine was launched."""
        if self._record.spec.completion is None:
            return None
        record = CompletionRecord(self._record)
        log_file.open_log(completion=True)
        log = log_file.logger(completion=True)
        gate = _Gate(_Place(backends, "completion"), http, record, None, log)
        niceness = completion_niceness(record.spec.plan)
        factory = self._factory or PlannedEngineFactory(http, niceness=niceness)
        beside = CompletionEngine(record, gate, factory, self._stop, self._timeouts, log)
        self._gateway.on_first_tokens(lambda waited_for: beside.pause(paused=waited_for))
        return beside

    async def _saved_heads(self, http: aiohttp.ClientSession) -> SavedHeads | None:
        """What saves and restores; ``None`` where nothing is kept."""
        spec = self._record.spec
        files = engines.lookup(spec.plan.engine).slot_files
        folder = with_slot_folder(spec.plan, spec.options).slot_folder
        bytes_per_token = spec.plan.slot_bytes_per_token
        if files is None or folder is None or bytes_per_token is None:
            return None
        saved = SavedPrompts(Path(folder))
        try:
            await asyncio.to_thread(saved.open)
        except OSError as error:
            self._log.warning("prompts are not kept in %s: %s", folder, error.strerror)
            return None
        return SavedHeads(self._gateway, http, files, saved, bytes_per_token)

    def _heads_ahead(self, http: aiohttp.ClientSession) -> HeadsAhead | None:
        """What reads ahead; ``None`` where reading is quick, or the engine can't."""
        plan = self._record.spec.plan
        reader = engines.lookup(plan.engine).prompt_reader
        if reader is None or not fit_settings(plan).reads_slowly:
            return None
        return HeadsAhead(self._gateway, http, reader, paths.heads_file())

    def _fail(self, problem: Problem) -> None:
        # A fix of the catalogue that Docker's error led to does not name the model yet.
        problem = replace(problem, fix=with_command(problem.fix, self._record.spec.command))
        self._log.error("%s", problem)
        self._record.move("failed", problem=problem, engine=None)


def _facts(record: StateRecord) -> DeploymentFacts:
    plan, state = record.spec.plan, record.state
    return DeploymentFacts(
        plan.model.served_name,
        plan.engine,
        state.status,
        state.started_at,
        state.ready_at,
        state.restarts,
        state.problem,
        state.drafts,
    )


def _guarded(gateway: Gateway, spec: LaunchSpec) -> GatewayAccess:
    """The gateway's keys. Raises ``StokerError`` where it would be open to other machines."""
    try:
        own = own_key.draw()
    except OSError as error:
        raise StokerError(
            f"Stoker can't write its state folder {paths.state_dir()}.",
            f"The system reports: {error.strerror}.",
            "Make the folder writable, or set STOKER_HOME to one that is.",
        ) from error
    access = GatewayAccess(gateway, spec.bind, insecure=spec.insecure, own=own)
    access.configure(Keys({}), sign_on_file.rules())
    access.log_start(model=spec.plan.model.id)
    return access


def _certificate(spec: LaunchSpec) -> ServedCertificate | None:
    """The gateway's TLS. Raises ``StokerError`` where its files are not in order."""
    own_certificates.forget()
    if spec.tls is None:
        return None
    return ServedCertificate(spec.tls, own_certificates.OwnCertificates())


async def _end(task: asyncio.Task[None]) -> None:
    """Stop a task. One that has failed before hinders nothing that comes after it."""
    task.cancel()
    (failure,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(failure, Exception):
        log_file.logger().error("a task of the gateway failed: %s", type(failure).__name__)


_Role = Literal["chat", "completion"]
#: In the order of ``/v1/models``: a client that takes the first one is to get what chats.
_ROLES: tuple[_Role, ...] = ("chat", "completion")


class _Backends:
    """What the gateway serves of one deployment: its engine, and a completion engine if any.

    Where there are ``several``, one that can't answer stays in the gateway's list: requests for it
    are refused, and not answered by the other one.
    """

    def __init__(self, gateway: Gateway, *, several: bool) -> None:
        self._gateway = gateway
        self._several = several
        self._served: dict[_Role, Served] = {}

    def serve(self, role: _Role, served: Served) -> None:
        """Forward requests to this engine from now on."""
        self._served[role] = served
        self._gateway.serve([self._served[each] for each in _ROLES if each in self._served])
        self._gateway.resume(served.backend)

    def close(self, role: _Role, problem: Problem) -> None:
        """Refuse the requests for this engine."""
        if self._several and role in self._served:
            self._gateway.suspend(self._served[role].backend, problem)
        else:
            self._gateway.pause(problem)


@dataclass(frozen=True, slots=True)
class _Place:
    """One engine's place in what the gateway serves."""

    backends: _Backends
    role: _Role

    def serve(self, backend: Backend, models: Sequence[ServedModel], plan: Plan) -> None:
        """Forward requests to the engine of ``plan`` from now on."""
        completes, is_ours = self.role == "completion", plan.model.origin != "endpoint"
        order = engines.lookup(plan.engine).completion_order
        served = Served(
            backend,
            models,
            fit_settings(plan),
            is_ours=is_ours,
            for_completion=completes,
            completion_slots=plan.completion_slots,
            completion_fields=order.fields(plan) if order else {},
            # On a GPU a suggestion takes less than what the first token may be late.
            yields=_on_cpu(plan) and (completes or plan.completion_slots > 0),
            computes_on_cpu=is_ours and engines.get(plan.engine).computes_on_cpu(plan),
        )
        self.backends.serve(self.role, served)

    def close(self, problem: Problem) -> None:
        """Refuse its requests."""
        self.backends.close(self.role, problem)


class _Gate:
    """Opens and closes the gateway for one engine."""

    def __init__(
        self,
        place: _Place,
        http: aiohttp.ClientSession,
        record: EngineRecord,
        heads: SavedHeads | None,
        log: logging.Logger | None = None,
    ) -> None:
        self._place = place
        self._heads = heads
        self._http = http
        self._record = record
        self._log = log or log_file.logger()
        self._client = engines.server_client(record.spec.plan.engine)
        #: Called each time that requests are forwarded from now on.
        self.on_open: Callable[[], None] | None = None

    async def ready(self, backend: Backend) -> bool:
        return await self._client.ready(self._http, backend)

    async def open(self, backend: Backend) -> bool:
        plan = self._record.spec.plan
        try:
            listed = await self._client.discover(self._http, backend)
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            self._log.warning("the engine does not list its models: %s", error)
            return False
        models = [planned(model, plan) for model in listed]
        restored = await self._heads.restore(backend) if self._heads else None
        self._place.serve(backend, models, plan)
        if self._heads and restored:
            self._heads.note_restored(restored)
        self._log.info("ready: %s", ", ".join(model.id for model in models))
        if self.on_open:
            self.on_open()
        return True

    def close(self, problem: Problem) -> None:
        self._place.close(problem)


def planned(model: ServedModel, plan: Plan) -> ServedModel:
    """A served model with the quantization that only its file names, which the plan has."""
    if model.quantization is not None or model.id != plan.model.served_name:
        return model
    return replace(model, quantization=plan.model.quantization)


def fit_settings(plan: Plan) -> FitSettings:
    """Fit prompts for time where the plan expects slow reading: that is on a CPU."""
    return FitSettings(
        max_prompt_tokens="auto" if _on_cpu(plan) else None,
        prefill_tokens_per_s=plan.prefill_tokens_per_s,
        parameters=plan.model.parameters,
        tokenizer=plan.model.path,
    )


def _on_cpu(plan: Plan) -> bool:
    """Whether the engine runs without a GPU. Of an adopted one that is not known."""
    if plan.model.origin == "endpoint":
        return False
    return not engines.get(plan.engine).runs_on_gpu(plan)


def serve(spec: LaunchSpec) -> Generator[Deployment, None, None]:
    """Run a server in this process and yield each new value of its deployment.

    It runs while the next value is waited for. SIGTERM and SIGINT stop it, and so does closing
    the iterator. Raises ``StokerError`` where another supervisor runs.
    """
    log_file.open_log()
    try:
        with lock("supervisor").acquire(timeout=0):
            yield from _driven(spec)
    except Timeout:
        raise StokerError(
            "Another supervisor is running.",
            "One deployment runs at a time in one state folder.",
            "Stop it first: stoker down.",
        ) from None


def _driven(spec: LaunchSpec) -> Iterator[Deployment]:
    with event_loop() as loop:
        server = Server(spec)

        def stop(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(server.stop)

        with _signals_call(stop):
            yield from _changes(server, loop)


def _changes(server: Server, loop: asyncio.AbstractEventLoop) -> Iterator[Deployment]:
    """Each new value while the server runs; it is stopped where the reader stops."""
    running = loop.create_task(server.run())
    try:
        while not running.done() or not server.changes.empty():
            change = loop.run_until_complete(_next_change(server, running))
            if change is not None:
                yield change
        running.result()
    finally:
        server.stop()
        loop.run_until_complete(asyncio.wait({running}))


async def _next_change(server: Server, running: asyncio.Task[None]) -> Deployment | None:
    """The next value; ``None`` where the server ended without another one."""
    change = asyncio.ensure_future(server.changes.get())
    await asyncio.wait({change, running}, return_when=asyncio.FIRST_COMPLETED)
    if change.done():
        return change.result()
    change.cancel()
    return None


@contextlib.contextmanager
def _signals_call(handler: signal._HANDLER) -> Iterator[None]:
    """Handle SIGTERM and SIGINT also between two steps of the event loop."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _counters(_: Metrics) -> Counters:
    """Where limits are counted: the quotas of a day and a month outlast a restart."""
    return LocalCounters(QuotaFile(paths.state_dir() / "quotas.json"))


def main() -> None:
    """The background process: serve the deployment that ``lifecycle.start`` wrote."""
    deployment = deployment_state.read()
    if deployment is None:
        sys.exit("stoker: there is no deployment to serve")
    spec = deployment.spec
    key = sys.stdin.readline().strip()  # of an adopted server: it is in no file
    spec = replace(spec, options=replace(spec.options, key=key or None))
    for latest in serve(spec):
        deployment = latest
    sys.exit(1 if deployment.state.status == "failed" else 0)


if __name__ == "__main__":
    main()
