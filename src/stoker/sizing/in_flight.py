"""A request on its way through a simulated engine."""

from __future__ import annotations

from stoker.sizing.prefix_cache import Holding
from stoker.sizing.workload import ArrivingRequest


class InFlight:
    """What happened to one request so far. Times are in seconds of the simulation."""

    __slots__ = (
        *(
            "admitted_s",
            "cached_tokens",
            "chunk",
            "computed",
            "end_step",
            "first_s",
            "goal",
            "holding",
        ),
        *("known", "offset", "order", "preemptions", "replica", "request", "seat"),
    )

    def __init__(self, request: ArrivingRequest, seat: int = -1) -> None:
        self.request = request
        #: Who waits for the answer; -1 for requests of a trace.
        self.seat = seat
        self.replica = -1
        #: Tokens of the prompt and of the answer so far, and how many there will be at the end.
        self.known = request.prompt_tokens
        self.goal = request.prompt_tokens + request.output_tokens
        #: Tokens that the engine has processed, and those of them that it did not have to.
        self.computed = 0
        self.cached_tokens = -1
        #: Prompt tokens in the step under way; 0 for one that writes its answer.
        self.chunk = 0
        self.admitted_s: float | None = None
        self.first_s: float | None = None
        self.preemptions = 0
        #: Its number among those that were admitted.
        self.order = 0
        #: While it writes: ``computed`` is the engine's count of steps plus this, and the count at
        #: which its answer is complete.
        self.offset = 0
        self.end_step = 0
        self.holding = Holding()
