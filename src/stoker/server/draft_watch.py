"""Reads what the chat's engine has counted of its drafts, and switches off those that cost.

A server that may not be asked while it answers is asked in a pause. The engine is started again
only in one that is as long as its start takes, and whatever is found here fails nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import aiohttp

from stoker import engines, host, models, paths
from stoker.engines import Drafting, draft_counts, learned_drafts
from stoker.engines.unanswered import UNANSWERED
from stoker.errors import Problem, StokerError
from stoker.gateway.idle_time import IDLE_S, IdleTime
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.running_gateway import Gateway
from stoker.host import Host
from stoker.planning import Plan
from stoker.planning.draft_use import DraftCost, DraftCounts, DraftJudge, DraftUse
from stoker.server import log_file, start_durations
from stoker.server.argument_overrides import spelled
from stoker.server.state_record import EngineRecord

#: How often it is looked whether the engine is idle.
_POLL_S = 1.0
#: A busy server is asked no more often.
_FRESH_S = 30.0
#: An engine that took longer to start, by a download, is waited for no longer than this.
_MOST_PAUSE_S = 300.0
_STARTS_AGAIN = Problem(
    "The engine is started again without drafts.",
    "They cost more than they bring, and nothing was under way.",
    "It answers again in about as long as its start took.",
)


class DraftWatch:
    """Watches one engine. ``restart`` refuses requests and starts it again with another plan."""

    def __init__(
        self,
        gateway: Gateway,
        http: aiohttp.ClientSession,
        record: EngineRecord,
        restart: Callable[[Plan, Problem], None],
    ) -> None:
        self._gateway = gateway
        self._http = http
        self._record = record
        self._restart = restart
        self._idle = IdleTime(gateway)
        self._asked_at = float("-inf")
        #: What the drafts cost, once that was asked for: ``None`` where it is not known.
        self._cost: DraftCost | None = None
        self._judge: DraftJudge | None = None
        self._host: Host | None = None

    async def keep(self) -> None:
        """Look from time to time, for ever."""
        while True:
            await asyncio.sleep(_POLL_S)
            await self._look()

    async def _look(self) -> None:
        plan, drafting = self._record.spec.plan, self._drafting
        backend = next((b for b in self._gateway.pool.for_turns if b.usable), None)
        if drafting is None or not drafting.drafts(plan) or backend is None:
            return
        if not self._is_time(backend, drafting):
            return
        self._asked_at = asyncio.get_running_loop().time()
        try:
            counts = await draft_counts.draft_counts(self._http, backend.endpoint)
        except UNANSWERED:
            return
        if counts is not None and counts.warmed_up:
            await self._note(counts, drafting)
            self._switch_off(backend, drafting)

    @property
    def _drafting(self) -> Drafting | None:
        return engines.lookup(self._record.spec.plan.engine).drafting

    def _is_time(self, backend: PooledBackend, drafting: Drafting) -> bool:
        """Whether there may be something new, and asking delays nothing."""
        idle_s = self._idle.seconds(backend)
        since_s = asyncio.get_running_loop().time() - self._asked_at
        if self._costs and idle_s >= self._pause_s:
            return True
        if drafting.asked_while_busy and since_s >= _FRESH_S and idle_s < since_s:
            return True
        return IDLE_S <= idle_s < since_s

    @property
    def _costs(self) -> bool:
        use = self._record.state.drafts
        return use is not None and use.slow is not None and not use.wanted

    @property
    def _pause_s(self) -> float:
        """Those who come back within the time of a start would have to wait for it."""
        took_s = start_durations.last_start_s(self._record.spec) or 0.0
        return max(IDLE_S, min(took_s, _MOST_PAUSE_S))

    async def _note(self, counts: DraftCounts, drafting: Drafting) -> None:
        machine = self._host or await self._look_at_machine(drafting)
        use = DraftUse(
            counts,
            self._cost,
            wanted=self._is_wanted(drafting, machine),
            slow=self._judge.slow(counts) if self._judge is not None else None,
        )
        if use != self._record.state.drafts:
            self._record.note(drafts=use)

    async def _look_at_machine(self, drafting: Drafting) -> Host:
        """This machine; from then on it is known what the drafts cost on it."""
        plan = self._record.spec.plan
        machine, self._cost = await asyncio.to_thread(_cost, plan, drafting)
        self._judge = DraftJudge(self._cost) if self._cost is not None else None
        self._host = machine
        return machine

    def _is_wanted(self, drafting: Drafting, machine: Host) -> bool:
        spec = self._record.spec
        is_set = any(spelled(name) in spec.fixed for name in drafting.arguments)
        return is_set or learned_drafts.are_faster(spec.plan, machine)

    def _switch_off(self, backend: PooledBackend, drafting: Drafting) -> None:
        """Nothing is waited for here: no request may come in between."""
        use, plan = self._record.state.drafts, self._record.spec.plan
        if use is None or self._host is None or not self._costs:
            return
        if self._idle.seconds(backend) < self._pause_s:
            return
        learned = learned_drafts.remember(plan, self._host, use)
        log_file.logger().warning("%s The engine is started again.", learned.reason)
        self._record.note(drafts=replace(use, switched_off=True))
        without = drafting.without(plan)
        without = replace(without, reasons=(*without.reasons, learned.reason))
        self._restart(without, _STARTS_AGAIN)


def _cost(plan: Plan, drafting: Drafting) -> tuple[Host, DraftCost | None]:
    """This machine, and what the drafts cost on it. May take half a second."""
    machine = host.detect(paths.cache_dir(), ask_hub=False)
    with suppress(StokerError, OSError):
        plan = replace(plan, model=models.read_again(plan.model))
    first = machine.gpus[0] if machine.gpus and plan.gpus else None
    gpu = host.lookup_gpu(first.name, first.memory_total_bytes) if first else None
    return machine, drafting.cost(plan, machine, gpu)
