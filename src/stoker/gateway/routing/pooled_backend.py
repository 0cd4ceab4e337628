"""One backend as the pool knows it: what it serves, its health, its load, and what it has read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import takewhile
from typing import Any

from stoker import engines
from stoker.engines import Backend, Engine, ServedModel
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.relay.backend_connection import BackendConnections
from stoker.recent_values import RecentValues
from stoker.tokens.request_form import part_key

#: Failures in a row after which a backend is left alone ...
FAILURES = 3
#: ... for this long; then one request at a time tries it, until one succeeds.
OPEN_S = 10.0
#: Prefixes remembered for each backend. Each is a number: about 1 MB for all.
_PREFIXES = 8192


class PooledBackend:
    """One backend: what it serves, its health and its load."""

    def __init__(
        self,
        endpoint: Backend,
        models: Sequence[ServedModel],
        max_concurrent: int | None = None,
        fit: FitSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = endpoint
        #: Models whose tools the server refused; it is asked again after it was down.
        self._without_tools: set[str] = set()
        #: What it serves, by name.
        self.models: Mapping[str, ServedModel] = {}
        self.serve(models)
        self.max_concurrent = max_concurrent
        self.fit = fit or FitSettings()
        self.connections = BackendConnections(endpoint)
        self._healthy = True
        #: When it came up or went down, in seconds since the epoch.
        self.healthy_since = time.time()
        #: Why it is down, as a part of a sentence and without its address; empty where unknown.
        self.down_cause = ""
        self.in_flight = 0
        self.retired = False
        #: Nothing but this gateway sends requests to it.
        self.is_ours = False
        #: Its models complete code beside those that chat: they are meant by no other name.
        self.for_completion = False
        #: Of its slots, those that turns leave free for completions.
        self.completion_slots = 0
        #: Fields that make its engine take completions before chats that wait there.
        self.completion_fields: Mapping[str, int] = {}
        #: Its completions slow a turn's first token down, and so let it go first.
        self.yields = False
        #: What others compute on the CPU slows it down.
        self.computes_on_cpu = True
        #: Of ``in_flight``, those that complete code.
        self.completions = 0
        #: When a turn last came or ended here, on the event loop's clock.
        self.turn_at = -math.inf
        #: Fields that it refused and answered without, and those of the gateway's own that it took.
        self.refused_fields: frozenset[tuple[str, ...]] = frozenset()
        self.taken_fields: frozenset[tuple[str, ...]] = frozenset()
        #: It has no path for chats: requests of other APIs are passed on to it as they are.
        self.has_no_chats = False
        #: How often it may have been started again: what was learned of its prompts may not hold.
        self.run = 0
        #: How many answers have begun: one that works too hard to answer a check is not down.
        self.answers_begun = 0
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0
        #: Known before a request is prepared, which ``CacheLedger``'s blocks of tokens are not.
        self._prefixes = RecentValues[int, None](_PREFIXES)

    @cached_property
    def engine(self) -> Engine:
        """Its engine. Raises ``KeyError`` where that is not known."""
        return engines.lookup(self.endpoint.engine)

    @property
    def healthy(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._healthy

    @healthy.setter
    def healthy(self, healthy: bool) -> None:
        if healthy != self._healthy:
            self._healthy, self.healthy_since = healthy, time.time()

    def serve(self, models: Iterable[ServedModel]) -> None:
        """It serves these from now on."""
        self.models = {
            model.id: replace(model, tools="none") if model.id in self._without_tools else model
            for model in models
        }

    def refused_tools(self, model: str) -> None:
        """Its server takes no tools for this model, whatever it reports."""
        self._without_tools.add(model)
        self.serve(self.models.values())

    @property
    def turns_go_first(self) -> bool:
        """Whether completions wait for the first token of a turn here.

        Not for one that the completion engine itself is asked for: it would be paused and waited
        for at once.
        """
        return self.computes_on_cpu and not self.for_completion

    @property
    def usable(self) -> bool:
        """Whether a request may be sent: it is up, and has not just failed several times."""
        return self._healthy and not self.retired and self._clock() >= self._open_until

    @property
    def has_room(self) -> bool:
        """Whether one more turn is below its limit, which is one until it is well again."""
        if self.completion_slots:
            kept = self._turn_slots
            if kept is not None and self.in_flight - self.completions >= kept:
                return False
        limit = self._limit
        return limit is None or self.in_flight < limit

    def has_room_for(self, *, is_completion: bool) -> bool:
        """Whether one more request of a kind may be sent: slots that are kept take completions."""
        if is_completion and self._turn_slots is not None and self._failures < FAILURES:
            return self.completions < self.completion_slots or self.has_room
        return self.has_room

    @property
    def _turn_slots(self) -> int | None:
        """The slots that turns may take; ``None`` where none is kept from them."""
        if not self.completion_slots:
            return None
        parallel = min((m.parallel for m in self.models.values() if m.parallel), default=None)
        return None if parallel is None else max(1, parallel - self.completion_slots)

    @property
    def _limit(self) -> int | None:
        return 1 if self._failures >= FAILURES else self.max_concurrent

    def slots(self, model: str) -> int | None:
        """Turns that it works on at the same time; ``None`` where that is not bounded."""
        served = self.models.get(model)
        bounds = (self._limit, served.parallel if served else None, self._turn_slots)
        return min((n for n in bounds if n is not None), default=None)

    def window(self, model: str) -> int | None:
        """The context window of a model in tokens; ``None`` where it is not known."""
        served = self.models.get(model)
        return served.max_model_len if served else None

    def succeeded(self) -> None:
        """An answer began."""
        self._failures = 0
        self.answers_begun += 1

    def failed(self) -> None:
        """It refused, broke off before the first byte, or answered 502, 503 or 504."""
        self._failures += 1
        self.run += 1
        if self._failures >= FAILURES:
            self._open_until = self._clock() + OPEN_S

    def recovered(self) -> None:
        """It was down, and is up again: earlier failures no longer count."""
        self.healthy, self._failures, self._open_until = True, 0, 0.0
        self.run += 1
        self.refused_fields = self.taken_fields = frozenset()  # it may be another version
        self.has_no_chats = False
        self._without_tools.clear()  # it may have been started with a tool parser

    def shared_prefix(self, prefixes: Sequence[int]) -> int:
        """How many leading parts of a prompt it has read lately."""
        known = self._prefixes
        return next((i for i in range(len(prefixes), 0, -1) if prefixes[i - 1] in known), 0)

    def knows(self, session: int | None) -> bool:
        """Whether it has lately answered in this session of a client."""
        return session in self._prefixes

    def remember(self, prefixes: Sequence[int]) -> None:
        """It reads a prompt of these parts, the last of which may be its client's session."""
        for prefix in prefixes:
            self._prefixes.put(prefix, None)


def head_parts(request: Mapping[str, Any]) -> int:
    """How many of ``prefixes_of`` are the head: the tools, and what the system has written.

    All conversations of one client begin with it.
    """
    messages = request.get("messages")
    listed = messages if isinstance(messages, list) else ()
    return 1 + sum(1 for _ in takewhile(_is_of_the_system, listed))


def _is_of_the_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in ("system", "developer")


def prefixes_of(request: Mapping[str, Any]) -> list[int]:
    """One number for each leading part of the prompt: tools, then message by message."""
    tools = request.get("tools") or request.get("prompt")
    running = hash(tuple(map(part_key, tools if isinstance(tools, list) else [tools])))
    prefixes = [running]
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else ():
        running = hash((running, part_key(message)))
        prefixes.append(running)
    return prefixes
