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
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from aiohttp import web
from filelock import Timeout

from stoker import engines
from stoker.engines import Backend, Engine
from stoker.errors import StokerError
from stoker.gateway import Gateway
from stoker.runtime import logs, ports, state
from stoker.runtime.diagnose import Reader
from stoker.runtime.explain import explain
from stoker.runtime.state import Deployment, PhaseRecord, Problem, ProcessId

#: A crashed engine is started again after these waits, then no more.
BACKOFF_S = (0.5, 2.0, 8.0)
#: An engine that ran this long had recovered: earlier crashes no longer count.
RECOVERED_S = 120.0
#: An engine that starts without a word for this long hangs.
STALLED_S = 600.0
_POLL_S = 0.05
_GRACE_S = 5.0
_KEPT_LINES = 200


@dataclass
class _EngineProcess:
    """The engine's child process, its log and its latest lines."""

    process: asyncio.subprocess.Process
    backend: Backend
    diagnosis: Reader
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    last_line_at: float = field(default_factory=time.monotonic)
    reader: asyncio.Task[None] | None = None


class Supervisor:
    """Start the engine, serve it, start it again when it crashes, and end in good order."""

    def __init__(
        self, deployment: Deployment, on_change: Callable[[Deployment], None] | None = None
    ) -> None:
        self._now = deployment
        self._on_change = on_change
        self._gateway = Gateway()
        self._stop = asyncio.Event()
        self._engine: Engine = engines.get(deployment.plan.engine)
        self._child: _EngineProcess | None = None
        self._log = logs.logger()

    async def run(self) -> int:
        """Serve until told to stop. Returns the exit code: 0 stopped as asked, 1 failed."""
        self._handle_signals()
        self._set(supervisor=ProcessId.of(os.getpid()), started_at=time.time(), status="starting")
        runner = web.AppRunner(
            self._gateway.app(),
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=_GRACE_S,
        )
        try:
            await self._listen(runner)
            await self._keep_running()
        except StokerError as error:
            self._log.error("%s", error)
            self._set(status="failed", problem=Problem.of(error), engine=None)
            return 1
        finally:
            # The engine first: its end closes every stream, so the gateway has none to wait for.
            await self._end_engine()
            await runner.cleanup()
        state.remove()
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
                await self._start_engine()
                if not await self._until_ready(http):
                    return
                ready_at = time.monotonic()
                if await self._until_exit():
                    return
                crashes = 1 if time.monotonic() - ready_at > RECOVERED_S else crashes + 1
                if not await self._recover(crashes):
                    return

    async def _recover(self, crashes: int) -> bool:
        """Wait before the next start. False when told to stop; raises when it was the last."""
        self._gateway.pause()
        problem = self._explained()
        self._log.error("the engine ended: %s", problem)
        if crashes > len(BACKOFF_S):
            raise StokerError(
                f"The engine crashed {crashes} times and was not started again.",
                f"Its last error: {problem.what} {problem.why}".strip(),
                problem.fix,
            )
        self._set(status="restarting", restarts=self._now.restarts + 1, engine=None)
        return not await self._stopped_within(BACKOFF_S[crashes - 1])

    async def _start_engine(self) -> None:
        key = secrets.token_urlsafe(32)
        port = ports.any_free()
        launch = self._engine.launch(self._now.plan, port=port, key=key)
        process = await asyncio.create_subprocess_exec(
            *launch.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **launch.env},
            start_new_session=True,  # Ctrl-C in the foreground is ours to handle, in order
        )
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            assert process.stdin is not None  # noqa: S101  (asked for just above)
            process.stdin.write(launch.stdin.encode())
            await process.stdin.drain()
        backend = Backend(f"http://127.0.0.1:{port}", self._engine.name, key)
        self._child = _EngineProcess(process, backend, Reader(self._engine.name))
        self._child.reader = asyncio.create_task(self._read_log(self._child))
        with contextlib.suppress(Exception):  # it may be gone again: waiting for it will tell
            self._set(engine=ProcessId.of(process.pid))
        self._log.info("engine %s started as process %d", self._engine.name, process.pid)

    async def _read_log(self, child: _EngineProcess) -> None:
        assert child.process.stdout is not None  # noqa: S101  (asked for when it was started)
        async for raw in _lines(child.process.stdout):
            line = raw.decode("utf-8", errors="replace").rstrip()
            child.lines.append(line)
            child.diagnosis.feed([line])
            child.last_line_at = time.monotonic()
            self._log.info("  %s", line)
            phase = self._engine.phase(line)
            if phase and self._now.status != "ready":
                self._enter(phase)

    async def _until_ready(self, http: aiohttp.ClientSession) -> bool:
        """Wait until the engine answers. False when told to stop; raises when it ended."""
        child = self._running_child()
        while not await self._engine.ready(http, child.backend):
            if child.process.returncode is not None:
                await self._log_complete()
                raise self._explained().error()
            if time.monotonic() - child.last_line_at > STALLED_S:
                raise StokerError(
                    "The engine hangs.",
                    f"It has logged nothing for {STALLED_S:.0f} s and does not answer.",
                    "See `stoker logs`; then try a smaller --context or another model.",
                )
            if await self._stopped_within(_POLL_S):
                return False
        models = await self._engine.discover(http, child.backend)
        self._gateway.serve(child.backend, models)
        self._enter("ready")
        self._set(status="ready", ready_at=time.time(), problem=None)
        self._log.info("ready: %s", ", ".join(m.id for m in models))
        return True

    async def _until_exit(self) -> bool:
        """Wait for the engine's end or the order to stop; True for the order."""
        child = self._running_child()
        exited = asyncio.create_task(child.process.wait())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({exited, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (exited, stopped):
            task.cancel()
        if not self._stop.is_set():
            await self._log_complete()
        return self._stop.is_set()

    def _running_child(self) -> _EngineProcess:
        if self._child is None:
            raise RuntimeError("the engine was not started")
        return self._child

    async def _log_complete(self) -> None:
        child = self._running_child()
        if child.reader is not None:
            await asyncio.wait({child.reader}, timeout=1.0)

    def _explained(self) -> Problem:
        child = self._running_child()
        verdict = child.diagnosis.verdict()
        return explain(self._engine.name, verdict, child.lines, child.process.returncode)

    async def _end_engine(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if child.process.returncode is None:
                await self._signal_group(child.process, number)
        if child.reader is not None:
            child.reader.cancel()

    async def _signal_group(
        self, process: asyncio.subprocess.Process, number: signal.Signals
    ) -> None:
        """Signal the engine and its children (they are one group) and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE_S)

    async def _stopped_within(self, wait_s: float) -> bool:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stop.wait(), wait_s)
        return self._stop.is_set()

    def _enter(self, phase: str) -> None:
        if not self._now.phases or self._now.phases[-1].name != phase:
            self._set(phases=(*self._now.phases, PhaseRecord(phase, time.time())))

    def _set(self, **changes: object) -> None:
        self._now = replace(self._now, **changes)  # type: ignore[arg-type]
        state.write(self._now)
        if self._on_change:
            self._on_change(self._now)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines of a stream, however long: what does not fit the buffer comes in pieces."""
    while True:
        try:
            line = await stream.readuntil(b"\n")
        except asyncio.LimitOverrunError as overrun:
            line = await stream.read(max(overrun.consumed, 1))
        except asyncio.IncompleteReadError as end:
            if end.partial:
                yield end.partial
            return
        yield line


def serve(deployment: Deployment, on_change: Callable[[Deployment], None] | None = None) -> int:
    """Run the supervisor in this process until it is told to stop."""
    logs.open_log()
    try:
        with state.lock("supervisor").acquire(timeout=0):
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
    deployment = state.read()
    if deployment is None:
        sys.exit("stoker: there is no deployment to serve")
    sys.exit(serve(deployment))


if __name__ == "__main__":
    main()
