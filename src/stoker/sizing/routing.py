"""Which replica a request goes to."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from stoker.sizing.fleet import Routing
from stoker.sizing.workload import ArrivingRequest


class LoadedEngine(Protocol):
    """What routing looks at."""

    def load(self) -> int:
        """Requests that wait or run."""


class Router:
    """Chooses for one request at a time, and remembers who read what."""

    def __init__(self, routing: Routing, engines: Sequence[LoadedEngine], seed: int) -> None:
        self._routing = routing
        self._engines = engines
        self._rng = random.Random(f"{seed}/routing")  # noqa: S311  (a simulation, not a secret)
        self._by_session: dict[int, int] = {}
        self._by_head: dict[str, set[int]] = {}

    def choose(self, request: ArrivingRequest) -> int:
        """The number of the replica for a request."""
        if len(self._engines) == 1:
            return 0
        if self._routing == "random":
            return self._rng.randrange(len(self._engines))
        if self._routing == "least_loaded":
            return self._least_loaded(range(len(self._engines)))
        chosen = self._by_session.get(request.session)
        if chosen is None:
            chosen = self._for_new_session(request)
            self._by_session[request.session] = chosen
        return chosen

    def _for_new_session(self, request: ArrivingRequest) -> int:
        everyone = range(len(self._engines))
        if not request.head_tokens:
            return self._least_loaded(everyone)
        readers = self._by_head.setdefault(request.head, set())
        chosen = self._least_loaded(everyone)
        if readers:
            # A head is worth waiting for one other request, and not for a queue of them.
            reader = self._least_loaded(sorted(readers))
            if self._engines[reader].load() <= self._engines[chosen].load() + 1:
                chosen = reader
        readers.add(chosen)
        return chosen

    def _least_loaded(self, among: Sequence[int]) -> int:
        return min(among, key=lambda i: (self._engines[i].load(), i))
