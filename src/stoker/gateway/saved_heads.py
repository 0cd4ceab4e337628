"""Keep what an engine has read over its end: save it in a pause, restore it at the start.

An engine that saves or restores does nothing else meanwhile. So a save is made after a pause, and
only where it is expected to be over before a person notices; the one at the end, when no request is
taken any more, may take longer. A restore is made before the first request is let in.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from pathlib import Path

import aiohttp

from stoker.engines import Backend, SlotFiles
from stoker.engines.unanswered import UNANSWERED
from stoker.gateway.idle_time import IDLE_S, IdleTime
from stoker.gateway.prompt.cache_ledger import ReadPrompt
from stoker.gateway.prompt.saved_prompts import SavedPrompt, SavedPrompts
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.running_gateway import Gateway

_log = logging.getLogger("stoker.gateway")

#: How often it is looked.
_POLL_S = 1.0
#: The most that a save may delay a request which comes just after it has begun.
_MOST_DELAY_S = 0.05
#: Bytes that are saved in a second, until a save has been measured. llama.cpp b11549 on 2 busy
#: cores: 70 MB in 30 ms, at worst 62 MB in 173 ms.
_BYTES_PER_S = 1e9
#: Fewer tokens are read in about a second on the slowest machine.
_LEAST_TOKENS = 256
#: The slot that gets the newest prompt. llama.cpp gives a request that shares nothing another one.
_SLOT = 0
#: The last save is given up after this: an order to stop is obeyed within seconds.
_LAST_SAVE_S = 3.0


class SavedHeads:
    """Saves and restores for the one engine behind a gateway. Nothing here fails or delays a start.

    ``bytes_per_token`` is what a token takes in a file.
    """

    def __init__(
        self,
        gateway: Gateway,
        http: aiohttp.ClientSession,
        files: SlotFiles,
        saved: SavedPrompts,
        bytes_per_token: float,
    ) -> None:
        self._gateway = gateway
        self._http = http
        self._files = files
        self._saved = saved
        self._bytes_per_token = bytes_per_token
        self._bytes_per_s = _BYTES_PER_S
        self._restored_for: Backend | None = None
        #: The prompt that was last looked at: it is not tried twice.
        self._tried: ReadPrompt | None = None
        self._idle = IdleTime(gateway)

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._saved.folder

    async def restore(self, backend: Backend) -> SavedPrompt | None:
        """Restore the newest prompt into an engine that has just started; what was restored."""
        saved = self._saved.newest
        if saved is None or backend == self._restored_for:
            return None
        self._restored_for = backend
        try:
            return await self._restore(backend, saved)
        except UNANSWERED as error:
            _log.warning("what was read before could not be restored: %s", _words(error))
            return None

    async def _restore(self, backend: Backend, saved: SavedPrompt) -> SavedPrompt | None:
        # Not listed meanwhile: an engine that it ends is started again without it.
        await asyncio.to_thread(self._saved.set_aside, saved)
        tokens = await self._files.restore(self._http, backend, _SLOT, saved.name)
        if tokens != saved.held_tokens:
            await asyncio.to_thread(self._saved.discard, saved.name)
            return None
        await asyncio.to_thread(self._saved.put_back, saved)
        _log.info("restored %d tokens that were read before", tokens)
        return saved

    def note_restored(self, saved: SavedPrompt) -> None:
        """The gateway serves the engine: let it know what is in the cache."""
        for backend in self._gateway.pool.for_turns:
            for preparer in self._gateway.preparers(backend):
                preparer.restored(saved.head, saved.head_tokens, saved.prompt_tokens, _SLOT)

    async def keep(self) -> None:
        """Save whenever there is something new and nothing to do, for ever."""
        while True:
            await asyncio.sleep(_POLL_S)
            await self._save_if_idle()

    async def save_last(self) -> None:
        """Save the newest prompt when no more requests are taken."""
        backend, prompt = self._newest()
        if backend is None or prompt is None or self._saved.has_all(prompt):
            return
        try:
            await asyncio.wait_for(self._save(backend, prompt), _LAST_SAVE_S)
        except UNANSWERED as error:
            _log.warning("what was read could not be saved: %s", _words(error))

    async def _save_if_idle(self) -> None:
        backend, prompt = self._newest()
        if backend is None or prompt is None or self._idle.seconds(backend) < IDLE_S:
            return
        if prompt is self._tried or self._saved.has(prompt) or not self._is_quick(prompt):
            return
        self._tried = prompt
        try:
            await self._save(backend, prompt)
        except UNANSWERED as error:
            _log.warning("what was read could not be saved: %s", _words(error))

    def _newest(self) -> tuple[PooledBackend | None, ReadPrompt | None]:
        """The prompt that was read last, where it is worth a file."""
        for backend in self._gateway.pool.for_turns:
            for preparer in self._gateway.preparers(backend):
                newest = preparer.ledger.newest
                if newest is not None and newest.prompt_tokens >= _LEAST_TOKENS:
                    return backend, newest
        return None, None

    def _is_quick(self, prompt: ReadPrompt) -> bool:
        return self._size_bytes(prompt) <= _MOST_DELAY_S * self._bytes_per_s

    def _size_bytes(self, prompt: ReadPrompt) -> float:
        return self._bytes_per_token * (prompt.held_tokens or 0)

    async def _save(self, backend: PooledBackend, prompt: ReadPrompt) -> None:
        if not await asyncio.to_thread(self._saved.room_for, self._size_bytes(prompt)):
            return
        held = await self._files.held(self._http, backend.endpoint)
        slot = next((slot for slot, tokens in held.items() if tokens == prompt.held_tokens), None)
        if slot is None or self._idle.is_busy(backend):
            return
        name = f"{secrets.token_hex(8)}.slot"
        is_listed = False
        try:
            saved = await self._files.save(self._http, backend.endpoint, slot, name)
            self._bytes_per_s = saved.size_bytes / max(saved.seconds, 1e-3)
            # Another request may have taken the slot just before.
            if saved.tokens == prompt.held_tokens:
                await asyncio.to_thread(self._saved.add, name, prompt)
                is_listed = True
                _log.info("saved %d tokens that were read", saved.tokens)
        finally:
            if not is_listed:
                self._saved.discard(name)


def _words(error: Exception) -> str:
    """What went wrong, without addresses and content."""
    status = error.status if isinstance(error, aiohttp.ClientResponseError) else ""
    return f"{type(error).__name__} {status}".strip()
