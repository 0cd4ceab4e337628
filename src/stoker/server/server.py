"""The one background process of a deployment: it owns the engine and the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web
from filelock import Timeout

from stoker import engines
from stoker.engines import Backend, ContainerLaunch, ServedModel
from stoker.errors import StokerError
from stoker.gateway import FitSettings, Gateway, Served
from stoker.planning import Plan
from stoker.server import deployment_state, log_file, ports, start_durations
from stoker.server.argument_overrides import corrected
from stoker.server.deployment_state import Deployment, PhaseRecord, Problem, ProcessId
from stoker.server.diagnosis.exit_reason import explain, how_it_ended
from stoker.server.diagnosis.log_diagnosis import Reader, with_command
from stoker.server.engine_process import AdoptedRun, EngineRun, ProcessRun

#: A crashed engine is started again after these waits, then no more.
BACKOFF_S = (0.5, 2.0, 8.0)
#: An engine that ran this long had recovered: earlier crashes no longer count.
RECOVERED_S = 120.0
#: An engine that starts without a word for this long hangs.
STALLED_S = 600.0
_POLL_S = 0.05
_GRACE_S = 5.0
#: Answers that are under way when the order to stop comes have this long to end.
_DRAIN_S = 10.0
_KEPT_LINES = 200


@dataclass
class _Watched:
    """The engine's run, what its log says, and its latest lines."""

    run: EngineRun
    diagnosis: Reader
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    last_line_at: float = field(default_factory=time.monotonic)
    reader: asyncio.Task[None] | None = None


class _StoppedError(Exception):
    """The order to stop came while the engine was being started."""


class Supervisor:
    """Start the engine, serve it, start it again when it crashes, and end in good order."""

    def __init__(
        self, deployment: Deployment, on_change: Callable[[Deployment], None] | None = None
    ) -> None:
        self._now = deployment
        self._on_change = on_change
        self._gateway = Gateway()
        self._stop = asyncio.Event()
        self._engine = engines.server_client(deployment.plan.engine)
        self._watched: _Watched | None = None
        self._log = log_file.logger()

    async def run(self) -> int:
        """Serve until told to stop. Returns the exit code: 0 stopped as asked, 1 failed."""
        self._handle_signals()
        self._set(supervisor=ProcessId.of(os.getpid()), started_at=time.time(), status="starting")
        runner = self._gateway.runner()
        try:
            await self._listen(runner)
            await self._keep_running()
        except StokerError as error:
            error.fix = with_command(error.fix, self._now.command)  # Docker's, of the catalogue
            self._log.error("%s", error)
            self._set(status="failed", problem=Problem.of(error), engine=None)
            return 1
        finally:
            await self._gateway.drain(_DRAIN_S)
            # The engine first: its end closes every stream, so the gateway has none to wait for.
            await self._end_engine()
            await runner.cleanup()
        deployment_state.remove()
        self._log.info("stopped")
        return 0

    async def _listen(self, runner: web.AppRunner) -> None:
        ports.require_free(self._now.bind, self._now.port)
        await runner.setup()
        await web.TCPSite(runner, self._now.bind, self._now.port).start()
        self._log.info("gateway listens on %s:%d", self._now.bind, self._now.port)

    async def _keep_running(self) -> None:
        crashes = 0
        async with aiohttp.ClientSession() as http:
            while True:
                if not await self._start_until_ready(http):
                    return
                ready_at = time.monotonic()
                if await self._until_exit(http):
                    return
                crashes = 1 if time.monotonic() - ready_at > RECOVERED_S else crashes + 1
                if not await self._recover(crashes):
                    return

    async def _start_until_ready(self, http: aiohttp.ClientSession) -> bool:
        """Start the engine, a second time with another argument where that is known to help."""
        try:
            await self._start_engine(http)
            ended = await self._until_ready(http)
            if ended is None or not self._correct():
                return self._began(ended)
            await self._end_engine()
            await self._start_engine(http)
            return self._began(await self._until_ready(http))
        except _StoppedError:
            return False

    def _began(self, problem: Problem | None) -> bool:
        if problem is not None:
            raise problem.error()
        return not self._stop.is_set()

    def _correct(self) -> bool:
        """Whether there is another argument to try; then the plan has it from now on."""
        verdict = self._running().diagnosis.verdict()
        plan = corrected(self._now.plan, verdict, self._now.fixed)
        if plan is None or verdict is None or verdict.change is None:
            return False
        change = verdict.change
        self._log.warning(
            "%s: starting once more with %s = %s", verdict.title, change.argument, change.value
        )
        self._set(plan=plan, phases=())
        return True

    async def _recover(self, crashes: int) -> bool:
        """Wait before the next start. False when told to stop; raises when it was the last."""
        self._gateway.pause()
        problem = self._explained()
        self._log.error("the engine ended: %s", problem.error())
        if crashes > len(BACKOFF_S):
            raise StokerError(
                f"The engine crashed {crashes} times and was not started again.",
                f"Its last error: {problem.what} {problem.why}".strip(),
                problem.fix,
            )
        self._set(status="restarting", restarts=self._now.restarts + 1, engine=None)
        return not await self._stopped_within(BACKOFF_S[crashes - 1])

    async def _start_engine(self, http: aiohttp.ClientSession) -> None:
        run = await self._begun(http)
        self._watched = _Watched(run, Reader(self._engine.name, self._now.command))
        self._watched.reader = asyncio.create_task(self._read_log(self._watched))
        self._set(engine=run.process)
        self._enter("start")
        self._log.info("engine %s started as %s", self._engine.name, run.what)

    async def _begun(self, http: aiohttp.ClientSession) -> EngineRun:
        plan, options = self._now.plan, self._now.options
        if options.adopted is not None:
            there = Backend(options.adopted, plan.engine, options.key)
            return AdoptedRun(there, partial(self._engine.ready, http, there))
        key = secrets.token_urlsafe(32)
        port = ports.any_free()
        launch = engines.get(plan.engine).launch(plan, port=port, key=key, options=options)
        if isinstance(launch, ContainerLaunch):
            return await self._start_container(launch)
        backend = Backend(f"http://127.0.0.1:{port}", plan.engine, key)
        return await ProcessRun.start(launch, backend)

    async def _start_container(self, launch: ContainerLaunch) -> EngineRun:
        from stoker.server.engine_container import ContainerRun  # noqa: PLC0415  (slow to import)

        loop = asyncio.get_running_loop()

        def say(what: str) -> None:
            if self._stop.is_set():
                raise _StoppedError  # in the thread that pulls: so the pull ends
            loop.call_soon_threadsafe(self._note, what)

        self._set(container=launch.name)
        return await ContainerRun.start(
            launch,
            self._engine.name,
            endpoint=self._now.options.endpoint,
            replace=self._now.replace,
            say=say,
        )

    def _note(self, what: str) -> None:
        self._log.info("%s", what)
        if what.startswith("pull"):
            self._enter("pull image", what.partition(": ")[2])

    async def _read_log(self, watched: _Watched) -> None:
        async for said in watched.run.lines():
            line = log_file.without_prompt(said)
            watched.lines.append(line)
            watched.diagnosis.feed([line])
            watched.last_line_at = time.monotonic()
            self._log.info("  %s", line)
            if self._now.status != "ready":
                self._note_phase(line)

    def _note_phase(self, line: str) -> None:
        phase = engines.get(self._engine.name).phase(line)
        if phase:
            self._enter(phase)

    async def _until_ready(self, http: aiohttp.ClientSession) -> Problem | None:
        """Wait until the engine answers, or is told to stop. How it ended, where it did."""
        watched = self._running()
        while not await self._engine.ready(http, watched.run.backend):
            if await watched.run.ended():
                await self._log_complete()
                return self._explained()
            if time.monotonic() - watched.last_line_at > STALLED_S:
                raise StokerError(
                    "The engine hangs.",
                    f"It has logged nothing for {STALLED_S:.0f} s and does not answer.",
                    "See `stoker logs`; then try a smaller --context or another model.",
                )
            if await self._stopped_within(_POLL_S):
                return None
        await self._open(http)
        self._enter("ready")
        self._set(status="ready", ready_at=time.time(), problem=None)
        start_durations.remember_start(self._now)
        return None

    async def _open(self, http: aiohttp.ClientSession) -> None:
        """Let requests through."""
        backend = self._running().run.backend
        models = [self._with_plan(m) for m in await self._engine.discover(http, backend)]
        self._gateway.serve([Served(backend, models, _fit_settings(self._now.plan))])
        self._log.info("ready: %s", ", ".join(m.id for m in models))

    def _with_plan(self, model: ServedModel) -> ServedModel:
        """A served model with what only its file tells, which the plan knows."""
        planned = self._now.plan.model
        if model.quantization is not None or model.id != planned.served_name:
            return model
        return replace(model, quantization=planned.quantization)

    async def _until_exit(self, http: aiohttp.ClientSession) -> bool:
        """Wait for the engine's end or the order to stop; True for the order."""
        run = self._running().run
        problem: Problem | None = None
        while not await self._stopped_within(run.look_every_s):
            if await run.ended():
                await self._log_complete()
                return self._stop.is_set()
            was, problem = problem, await run.silent()
            if problem != was:
                await self._fall_silent(problem) if problem else await self._go_on(http)
        return True

    async def _fall_silent(self, problem: Problem) -> None:
        """Refuse requests while the engine can't answer, without giving it up."""
        self._gateway.pause()
        self._log.warning("requests are refused: %s", problem.error())
        self._set(problem=problem)

    async def _go_on(self, http: aiohttp.ClientSession) -> None:
        await self._open(http)
        self._set(problem=None)

    def _running(self) -> _Watched:
        if self._watched is None:
            raise RuntimeError("the engine was not started")
        return self._watched

    async def _log_complete(self) -> None:
        reader = self._running().reader
        if reader is not None:
            await asyncio.wait({reader}, timeout=1.0)

    def _explained(self) -> Problem:
        watched = self._running()
        exit_code = watched.run.exit_code
        watched.diagnosis.feed([how_it_ended(exit_code)])  # some signals have one cause
        return explain(self._engine.name, watched.diagnosis.verdict(), watched.lines, exit_code)

    async def _end_engine(self) -> None:
        watched, self._watched = self._watched, None
        if watched is None:
            return
        await watched.run.end(_GRACE_S)
        if watched.reader is not None:
            watched.reader.cancel()

    async def _stopped_within(self, wait_s: float) -> bool:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stop.wait(), wait_s)
        return self._stop.is_set()

    def _enter(self, phase: str, detail: str = "") -> None:
        phases = self._now.phases
        if phases and phases[-1].name == phase:
            if detail:
                self._set(phases=(*phases[:-1], replace(phases[-1], detail=detail)))
            return
        self._set(phases=(*phases, PhaseRecord(phase, time.time(), detail)))

    def _set(self, **changes: object) -> None:
        self._now = replace(self._now, **changes)  # type: ignore[arg-type]
        deployment_state.write(self._now)
        if self._on_change:
            self._on_change(self._now)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)


def _fit_settings(plan: Plan) -> FitSettings:
    """Fit for time where the plan expects to read slowly: that is on a CPU."""
    return FitSettings(
        max_prompt_tokens="auto" if _on_cpu(plan) else None,
        prefill_tokens_per_s=plan.prefill_tokens_per_s,
        tokenizer=plan.model.path,
    )


def _on_cpu(plan: Plan) -> bool:
    """Whether the engine runs without a GPU. Of one that was adopted nobody knows."""
    if plan.model.origin == "endpoint":
        return False
    layers = plan.argument("n_gpu_layers")  # llama.cpp's, and the user may have set it
    return plan.gpus == 0 if layers is None else layers == 0


def serve(deployment: Deployment, on_change: Callable[[Deployment], None] | None = None) -> int:
    """Run the supervisor in this process until it is told to stop."""
    log_file.open_log()
    try:
        with deployment_state.lock("supervisor").acquire(timeout=0):
            return _run(Supervisor(deployment, on_change).run())
    except Timeout:
        raise StokerError(
            "Another supervisor is running.",
            "One deployment runs at a time in one state folder.",
            "Stop it first: stoker down.",
        ) from None


def _run(main: Coroutine[Any, Any, int]) -> int:
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop  # noqa: PLC0415  (not there on Windows)

    return uvloop.run(main)


def main() -> None:
    """The background process: serve the deployment that ``runtime.start`` wrote down."""
    deployment = deployment_state.read()
    if deployment is None:
        sys.exit("stoker: there is no deployment to serve")
    sys.exit(serve(deployment))


if __name__ == "__main__":
    main()
