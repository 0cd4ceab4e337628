"""How long and how much the gateway waits, keeps and queues, in one place.

What callers may use is in ``limiting``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatewayTimings:
    """Time limits in seconds and counts, with the defaults that production runs with."""

    #: Silence after which a stream gets a comment. Proxies commonly cut at 60 s, clients at 300 s.
    keep_alive_s: float = 15.0
    #: A backend that sends nothing at all for this long hangs. Prefill is silent: the longest that
    #: was measured is 147 s (15,500 tokens on 2 cores); OpenAI's own client gives up after 600 s.
    silence_s: float = 900.0
    #: A client that has sent no whole request head for this long is dropped, be it slow or idle.
    #: It is longer than the 60 s for which nginx keeps a connection to reuse it.
    head_s: float = 75.0
    #: A request's body must be complete this long after its head.
    body_s: float = 60.0
    #: A client that has not read the end of its answer after this long will not read it.
    linger_s: float = 120.0
    #: When the server ends, running answers have this long.
    shutdown_s: float = 5.0
    #: When the order to stop comes, running answers have this long before the server ends.
    drain_s: float = 10.0
    #: Requests that may wait for a slot at a backend, over all clients.
    max_waiting: int = 512
    #: A request that waited this long for a slot is refused with ``Retry-After``.
    max_wait_s: float = 120.0
    #: A utility request that has let turns go first for this long waits in the queue like a turn.
    #: Proxies commonly cut what was silent for 60 s, and an answer of 100 tokens is still to come.
    max_utility_wait_s: float = 45.0
    #: A completion lets the first token of a turn go first for this long at most. An agent's first
    #: prompt takes longer on a CPU; a client has given up by then, and asks again.
    max_completion_hold_s: float = 30.0
    #: A server's counts that are remembered for each model: 16 bytes and a number each.
    counts_kept: int = 4096
    #: How often the configuration file's time of change is read.
    config_poll_s: float = 1.0
    #: How often the time of change of the stored keys is read, and refused entries are logged.
    access_poll_s: float = 0.5
    #: How long the start waits to learn what the backends serve.
    first_check_s: float = 5.0


DEFAULT_TIMINGS = GatewayTimings()
