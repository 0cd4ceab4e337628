"""The stage that selects a backend, and another one where the first can't answer."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from stoker.gateway.api import openai_errors
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext
from stoker.gateway.routing.backend_pool import NoBackendError
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.routing.priority import HEADER, utility_of
from stoker.gateway.routing.session_headers import session_of, sessions_in
from stoker.gateway.routing.slot_queue import BackendSlot, BusyError
from stoker.gateway.usage.used_tokens import used_tokens
from stoker.tokens import ContextLengthExceededError

_log = logging.getLogger("stoker.gateway")

#: Backends that are tried for one request. Those whose window is too small do not count.
_TRIES = 3


class NotPreparedError(Exception):
    """The request can't be sent to this backend; ``reason`` is what the client gets to read."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Tries:
    """The backends that were tried for one request, and the best of what came of it."""

    def __init__(self) -> None:
        self.avoid: list[PooledBackend] = []
        self._left = _TRIES
        self._failure: web.StreamResponse | None = None
        self._refusal: Exception | None = None

    def failed(self, backend: PooledBackend, response: web.StreamResponse) -> None:
        """The backend failed before it answered anything; ``response`` reports that."""
        self.avoid.append(backend)
        self._left -= 1
        self._failure = response

    def refused(
        self, backend: PooledBackend, reason: Exception, too_small: list[PooledBackend]
    ) -> None:
        """The request can't be prepared for the backend, and for none of ``too_small``."""
        self.avoid += [backend, *too_small]
        if not too_small:
            self._left -= 1
        self._refusal = reason

    def can_try(self, candidates: list[PooledBackend]) -> bool:
        """Whether one of the candidates is still worth a try."""
        return self._left > 0 and any(b not in self.avoid for b in candidates)

    def outcome(self, down_cause: str) -> web.StreamResponse:
        """The answer where no other backend is left. A failure may pass: it goes before a refusal.

        Raises what kept the request from the last backend that could not take it.
        """
        if self._failure is not None:
            return self._failure
        if self._refusal is not None:
            raise self._refusal
        return openai_errors.not_ready(down_cause)


class SelectBackend:
    """Takes a slot at a backend, holds it while the stages after this answer, and gives it back.

    Where a backend fails before its first byte, or the request can't be prepared for it, the same
    stages run for another one.
    """

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._pool = state.pool
        self._slots = state.slots
        self._first_tokens = state.first_tokens
        self._metrics = state.metrics

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.backend`` for each try."""
        # By what the client asked: what is sent may have its tools in its text.
        if not context.is_completion:
            context.utility = utility_of(context.body, context.request.headers.get(HEADER))
        context.session_headers = sessions_in(context.request.headers)
        context.session = session_of(context.session_headers, context.body)
        tries, model = _Tries(), context.model.id
        while True:
            try:
                response = await self._try(context, proceed, tries)
            except NoBackendError:
                return tries.outcome(self._state.down_cause)
            except BusyError as busy:
                _log.warning("all backends of %s are busy", model)
                return openai_errors.busy(busy.retry_after_s)
            if response is not None:
                return response
            if not tries.can_try(self._pool.serving(model)):
                return tries.outcome(self._state.down_cause)
            _log.info("trying another backend than %s", context.backend.endpoint.url)

    async def _try(
        self, context: RequestContext, proceed: Handler, tries: _Tries
    ) -> web.StreamResponse | None:
        """The answer of one backend; ``None`` where another one may do better."""
        slot = await self._acquire(context, tries)
        backend = context.backend = slot.backend
        context.answer = None  # that of the backend before
        is_turn = context.utility is None and not context.is_completion
        context.first_token = None  # that of the backend before
        if is_turn and backend.turns_go_first:
            context.first_token = self._first_tokens.begin()
        client_left = False
        try:
            response = await proceed(context)
        except (asyncio.CancelledError, ConnectionError):
            client_left = True
            raise
        except NotPreparedError as refusal:
            too_small = self._too_small(context, refusal.reason)
            tries.refused(backend, refusal.reason, too_small)
            return None
        finally:
            if context.first_token is not None:
                context.first_token.over()
            self._slots.release(slot, _worked_tokens(context, client_left=client_left))
        if not context.may_retry:
            return response
        tries.failed(backend, response)
        return None

    async def _acquire(self, context: RequestContext, tries: _Tries) -> BackendSlot:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            if context.is_completion and self._yields(context.model.id):
                await self._first_tokens.none_pending()
            return await self._slots.acquire(
                context.model.id,
                context.caller.owner,
                context.body,
                avoid=tries.avoid,
                utility=context.utility,
                session=context.session,
                is_completion=context.is_completion,
            )
        except asyncio.CancelledError:
            self._metrics.left.inc()
            _log.info("a client left in the queue")
            raise
        finally:
            context.queue_s += loop.time() - began

    def _yields(self, model: str) -> bool:
        """Whether a completion by this model would slow down the first token of a turn."""
        return any(backend.yields for backend in self._pool.serving(model))

    def _too_small(self, context: RequestContext, reason: Exception) -> list[PooledBackend]:
        """The backends whose window is no larger than one that is too small."""
        if not isinstance(reason, ContextLengthExceededError):
            return []
        name = context.model.id
        window = context.backend.window(name)
        served = ((b, b.window(name)) for b in self._pool.backends)
        return [b for b, other in served if window and other and other <= window]


def _worked_tokens(context: RequestContext, *, client_left: bool) -> int:
    """The tokens that the backend read and wrote for a request, without those from its cache."""
    cached = context.answer.report.cached_tokens if context.answer else None
    return max(0, used_tokens(context, client_left=client_left).total - (cached or 0))
