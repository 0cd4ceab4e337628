"""Read the last heads of each client while no request waits, where they could not be restored.

An engine that reads does not answer meanwhile. So a head is read in slices that take less than a
person notices, and none is begun once a request has come. What was read until then stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import aiohttp

from stoker.engines import Backend, PromptReader
from stoker.gateway.idle_time import IDLE_S, IdleTime
from stoker.gateway.prompt.last_heads import LastHead
from stoker.gateway.prompt.preparers import Preparer
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.running_gateway import Gateway

_log = logging.getLogger("stoker.gateway")

_POLL_S = 1.0
#: What a slice may delay a request that comes just after it has begun, with room to 50 ms.
_SLICE_S = 0.025
#: The engine is left alone for this long after each slice. A request that came in its last
#: milliseconds is on its way from the socket to where it is counted; with the next slice begun at
#: once, it waited for two (3 of 40 in ``benchmarks/reading_ahead.py``).
_BETWEEN_S = 0.005
#: The first slice, and the shortest. Each slice reads all weights (``llama_batch``), so that one
#: token takes hardly less time. Where these few take longer than a slice may, so does the delay.
_LEAST_SLICE_TOKENS = 2
#: Two questions, so that what their prompts share is the head.
_QUESTIONS = ("a", "b")


class HeadsAhead:
    """Reads ahead for the one engine behind a gateway, and keeps the heads in the file ``kept``."""

    def __init__(
        self,
        gateway: Gateway,
        http: aiohttp.ClientSession,
        reader: PromptReader,
        kept: Path,
    ) -> None:
        self._gateway = gateway
        self._http = http
        self._reader = reader
        self._kept = kept
        self._idle = IdleTime(gateway)
        self._heads = gateway.last_heads
        #: The pause that was used to its end: the engine, and when its last turn was.
        self._used: tuple[Backend, float] | None = None

    async def keep(self) -> None:
        """Read whenever there is something to read and the engine is idle; runs forever."""
        self._heads.read(self._kept)  # some 300 KB
        while True:
            await asyncio.sleep(_POLL_S)
            for backend in self._gateway.pool.for_turns:
                await self._use_pause(backend)

    async def _use_pause(self, backend: PooledBackend) -> None:
        pause = (backend.endpoint, backend.turn_at)
        if self._used == pause or self._idle.seconds(backend) < IDLE_S:
            return
        try:
            await asyncio.to_thread(self._heads.write, self._kept)
        except OSError as error:
            _log.warning("the last heads can't be kept: %s", error.strerror)
        for preparer in self._gateway.preparers(backend):
            for head in self._heads.newest_first:
                if not await self._try(backend, preparer, head):
                    return  # what is left is read in the next pause
        self._used = pause

    async def _try(self, backend: PooledBackend, preparer: Preparer, head: LastHead) -> bool:
        """Whether it is done with, as far as it can be."""
        try:
            return await self._read(backend, preparer, head)
        # A head is what some client sent, or what its file became: it can fail in any way.
        except Exception as error:
            _log.warning("a head could not be read ahead: %s", type(error).__name__)
            return True

    async def _read(self, backend: PooledBackend, preparer: Preparer, head: LastHead) -> bool:
        prepared = await preparer.chats.prepare(head.asked(_QUESTIONS[0]))
        chain = prepared.chain
        if chain is None or not chain.head or preparer.ledger.holds(chain.head):
            return True
        tokens = await self._head_tokens(backend, prepared.request)
        slot = preparer.slots.place_for(chain)
        if slot is None or self._idle.is_busy(backend):
            return False
        # Also if it is not read to its end: what is there serves the same client.
        preparer.slots.restored(slot, chain.head)
        if not await self._read_in_slices(backend, slot, tokens):
            return False
        preparer.ledger.restored(chain.head, len(tokens))
        _log.info("read %d tokens ahead", len(tokens))
        return True

    async def _head_tokens(
        self, backend: PooledBackend, request: Mapping[str, Any]
    ) -> Sequence[int]:
        """What the prompts of two questions begin with."""
        *before, last = request["messages"]
        one, other = [
            await self._reader.tokens(
                self._http,
                backend.endpoint,
                {**request, "messages": [*before, {**last, "content": question}]},
            )
            for question in _QUESTIONS
        ]
        same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
        return [token for token, _ in same]

    async def _read_in_slices(
        self, backend: PooledBackend, slot: int, tokens: Sequence[int]
    ) -> bool:
        """Whether it was read to its end, because no request came."""
        now, end, size = asyncio.get_running_loop().time, 0, _LEAST_SLICE_TOKENS
        while end < len(tokens):
            if self._idle.is_busy(backend):
                return False
            end, began = min(end + size, len(tokens)), now()
            await self._reader.read(self._http, backend.endpoint, slot, tokens[:end])
            size = next_slice(size, now() - began)
            await asyncio.sleep(_BETWEEN_S)
        return True


def next_slice(size: int, took_s: float) -> int:
    """The tokens of the next slice, given how long one of ``size`` took: at most twice as many."""
    wanted = size * _SLICE_S / max(took_s, _SLICE_S / 2)
    return max(_LEAST_SLICE_TOKENS, int(wanted))
