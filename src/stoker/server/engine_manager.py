"""Keeps an engine running: starts it until it is ready, and again when it crashes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import Protocol

from stoker import engines
from stoker.engines import Backend
from stoker.errors import Problem, StokerError
from stoker.planning import Plan
from stoker.server import log_file, start_durations
from stoker.server.argument_overrides import corrected
from stoker.server.engine_log import EngineLog
from stoker.server.engine_run import EngineFactory, EngineRun, StartCancelledError
from stoker.server.state_record import EngineRecord
from stoker.server.timeouts import Timeouts

_PULL = "pull"


class RequestGate(Protocol):
    """What lets requests through to the engine, or refuses them."""

    async def ready(self, backend: Backend) -> bool:
        """Whether the engine there answers."""
        ...

    async def open(self, backend: Backend) -> bool:
        """Forward requests to it; ``False`` where it does not list its models now."""
        ...

    def close(self, problem: Problem) -> None:
        """Refuse requests until it is opened again; ``problem`` is why it can't answer."""
        ...


@dataclass(frozen=True, slots=True)
class _Started:
    run: EngineRun
    log: EngineLog


class EngineManager:
    """One engine, from its first start to the order to stop.

    Every change of its state goes through ``record``, whose state machine all kinds of engine
    share.
    """

    def __init__(
        self,
        record: EngineRecord,
        gate: RequestGate,
        factory: EngineFactory,
        stop: asyncio.Event,
        timeouts: Timeouts,
        log: logging.Logger | None = None,
    ) -> None:
        self._record = record
        self._gate = gate
        self._factory = factory
        self._stop = stop
        self._timeouts = timeouts
        self._name = record.spec.plan.engine
        self._started: _Started | None = None
        #: What is to run from now on, instead of what runs.
        self._next_plan: Plan | None = None
        self._log = log or log_file.logger()

    async def run(self) -> Problem | None:
        """Keep the engine running. Returns ``None`` at the order to stop, else why it gave up."""
        try:
            return await self._run()
        except StokerError as error:
            return error.problem
        except StartCancelledError:
            return None

    def pause(self, *, paused: bool) -> None:
        """Have the engine take no time of its cores, or go on, where it is ready."""
        if self._started is not None and (self._record.state.answering or not paused):
            self._started.run.pause(paused=paused)

    def start_again(self, plan: Plan, why: Problem) -> None:
        """Refuse requests at once, and start the ready engine again with another plan."""
        self._gate.close(why)
        self._next_plan = plan

    async def end(self) -> None:
        """Stop the engine, where it runs."""
        started, self._started = self._started, None
        if started is not None:
            await started.run.end(self._timeouts.grace_s)
            started.log.close()

    async def _run(self) -> Problem | None:
        crashes = 0
        problem = await self._start_until_ready()
        while problem is None and not self._stop.is_set():
            ready_at = time.monotonic()
            problem = await self._until_it_ends()
            if self._next_plan is not None and not self._stop.is_set():
                problem = await self._change_plan(self._next_plan)
                continue
            if problem is None:
                return None
            recovered = time.monotonic() - ready_at > self._timeouts.recovered_s
            crashes = 1 if recovered else crashes + 1
            if crashes > len(self._timeouts.backoff_s):
                return _given_up(crashes, problem)
            if await self._wait_to_restart(self._timeouts.backoff_s[crashes - 1]):
                return None
            problem = await self._start_until_ready()
        return problem

    async def _start_until_ready(self) -> Problem | None:
        """Start it, a second time with another argument where that is known to help.

        Returns why it ended; ``None`` where it is ready, or at the order to stop.
        """
        problem = await self._start_once()
        if problem is None or not self._correct():
            return problem
        await self.end()
        return await self._start_once()

    async def _start_once(self) -> Problem | None:
        run = await self._factory.start(
            self._record.spec, _Progress(self._record, self._stop, self._log)
        )
        log = EngineLog(run, self._name, self._record.spec.command, self._on_line)
        self._started = _Started(run, log)
        self._record.note(engine=run.process)
        self._record.enter("start")
        self._log.info("engine %s started as %s", self._name, run.what)
        return await self._until_ready(run, log)

    async def _until_ready(self, run: EngineRun, log: EngineLog) -> Problem | None:
        while not (await self._gate.ready(run.backend) and await self._gate.open(run.backend)):
            if await run.ended():
                return await log.ending()
            if log.quiet_s > self._timeouts.stalled_s:
                raise hangs(self._timeouts.stalled_s)
            if await self._stopped_within(self._timeouts.poll_s):
                return None
        is_first = self._record.state.status == "starting"
        self._record.enter("ready")
        self._record.move("ready", ready_at=time.time(), problem=None)
        if is_first:  # its time counts from the start of the deployment
            start_durations.remember_start(self._record.spec, self._record.state)
        return None

    def _correct(self) -> bool:
        """Whether another argument may help; from then on the plan has it."""
        verdict = self._started.log.verdict if self._started else None
        spec = self._record.spec
        plan = corrected(spec.plan, verdict, spec.fixed)
        if plan is None or verdict is None or verdict.change is None:
            return False
        change = verdict.change
        self._log.warning(
            "%s: starting once more with %s = %s", verdict.title, change.argument, change.value
        )
        self._record.replan(plan)
        self._record.note(phases=())
        return True

    async def _until_it_ends(self) -> Problem | None:
        """Watch a ready engine. Returns why it ended; ``None`` where it is to stop or change."""
        assert self._started is not None  # noqa: S101  (it is ready)
        run, log = self._started.run, self._started.log
        while not await self._stopped_within(run.check_every_s):
            if self._next_plan is not None:
                return None
            if await run.ended():
                problem = await log.ending()
                return None if self._stop.is_set() else self._crashed(problem)
            await self._note_silence(run, await run.silent())
        return None

    def _crashed(self, problem: Problem) -> Problem:
        self._gate.close(problem)
        self._log.error("the engine ended: %s", problem)
        return problem

    async def _note_silence(self, run: EngineRun, problem: Problem | None) -> None:
        """Refuse requests while the engine can't answer, and forward them again afterwards."""
        if problem == self._record.state.problem:
            return
        if problem is None:
            if await self._gate.open(run.backend):
                self._record.move("ready", problem=None)
            return
        self._gate.close(problem)
        self._log.warning("requests are refused: %s", problem)
        self._record.move("silent", problem=problem)

    async def _change_plan(self, plan: Plan) -> Problem | None:
        """Start the engine with another plan, or as it was where it does not start with that.

        Returns as ``_start_until_ready``.
        """
        before, self._next_plan = self._record.spec.plan, None
        self._record.replan(plan)
        self._record.move("restarting", problem=None, engine=None)
        await self.end()
        problem = await self._start_until_ready()
        if problem is None or self._stop.is_set():
            return problem
        self._log.error("it does not start: %s It is started as it was.", problem)
        self._record.replan(before)
        await self.end()
        return await self._start_until_ready()

    async def _wait_to_restart(self, backoff_s: float) -> bool:
        """Wait before the next start. Whether the order to stop came."""
        restarts = self._record.state.restarts + 1
        self._record.move("restarting", restarts=restarts, engine=None)
        return await self._stopped_within(backoff_s)

    def _on_line(self, line: str) -> None:
        self._log.info("  %s", line)
        if self._record.state.answering:
            return
        phase = engines.get(self._name).phase(line)
        if phase:
            self._record.enter(phase)

    async def _stopped_within(self, wait_s: float) -> bool:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stop.wait(), wait_s)
        return self._stop.is_set()


class _Progress:
    """Records the progress of a start, which may come from another thread."""

    def __init__(self, record: EngineRecord, stop: asyncio.Event, log: logging.Logger) -> None:
        self._record = record
        self._stop = stop
        self._log = log
        self._loop = asyncio.get_running_loop()

    def note(self, text: str) -> None:
        if self._stop.is_set():
            raise StartCancelledError  # in the thread that pulls, so that the pull ends
        self._loop.call_soon_threadsafe(self._note, text)

    def container(self, name: str) -> None:
        self._record.note(container=name)

    def _note(self, text: str) -> None:
        self._log.info("%s", text)
        if text.startswith(_PULL):
            self._record.enter("pull image", text.partition(": ")[2])


def _given_up(crashes: int, last: Problem) -> Problem:
    return Problem(
        f"The engine crashed {crashes} times and was not started again.",
        f"Its last error: {last.what} {last.why}".strip(),
        last.fix,
    )


def hangs(stalled_s: float) -> StokerError:
    """An engine that has logged nothing for the time limit while it starts."""
    return StokerError(
        "The engine hangs.",
        f"It has logged nothing for {stalled_s:.0f} s and does not answer.",
        "See `stoker logs`; then try a smaller --context or another model.",
    )
