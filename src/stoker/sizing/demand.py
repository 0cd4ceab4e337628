"""What a load asks of all replicas together, whatever their scheduling does: a bound. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stoker.sizing.step_times import StepTimes
from stoker.sizing.workload import ArrivingRequest


@dataclass(frozen=True, slots=True)
class Demand:
    """Tokens a second, with a cache that never evicts."""

    #: Prompt tokens that no request before had in its conversation.
    new_tokens_per_s: float
    output_tokens_per_s: float
    #: Cached tokens that writing the answers reads: each token of an answer reads its prompt.
    read_tokens_per_s: float
    #: Pairs of a new token and a token before it, which attention compares.
    attended_pairs_per_s: float = 0.0

    @classmethod
    def of(cls, requests: Iterable[ArrivingRequest], duration_s: float) -> Demand:
        """The demand of ``requests`` that come within ``duration_s``."""
        seen: dict[int, int] = {}
        new = output = read = 0
        pairs = 0.0
        for one in requests:
            before = seen.get(one.session, one.head_tokens)
            added = max(0, one.prompt_tokens - before)
            new += added
            pairs += added * (one.prompt_tokens - added / 2)
            output += one.output_tokens
            read += one.output_tokens * one.prompt_tokens
            seen[one.session] = one.prompt_tokens + one.output_tokens
        return cls(new / duration_s, output / duration_s, read / duration_s, pairs / duration_s)

    def times(self, factor: float) -> Demand:
        """The demand of ``factor`` times as many."""
        return Demand(
            self.new_tokens_per_s * factor,
            self.output_tokens_per_s * factor,
            self.read_tokens_per_s * factor,
            self.attended_pairs_per_s * factor,
        )


def least_replicas(demand: Demand, times: StepTimes, token_s: float) -> int:
    """Replicas below which work piles up, or steps take longer than ``token_s``.

    A step's own cost is shared by its batch, and the batch is as large as ``token_s`` allows with
    nothing else running. What real scheduling adds comes on top.
    """
    context = demand.read_tokens_per_s / max(1e-9, demand.output_tokens_per_s)
    busy = demand.new_tokens_per_s * times.token_s
    busy += demand.attended_pairs_per_s * times.attention_s
    busy += demand.output_tokens_per_s * _least_token_s(times, context, token_s)
    return max(1, math.ceil(busy))


#: vLLM's own limit of sequences at once is below this on every GPU.
_MOST_SEQUENCES = 1024


def _least_token_s(times: StepTimes, context: float, limit_s: float) -> float:
    """Seconds of a replica for one token of an answer, in the largest batch within ``limit_s``."""

    def step_s(batch: int) -> float:
        return times.batch_s(batch, 0) + batch * context * times.cache_token_s

    fits, too_many = 1, _MOST_SEQUENCES + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if step_s(middle) <= limit_s:
            fits = middle
        else:
            too_many = middle
    return step_s(fits) / fits


def busiest(
    requests: Sequence[ArrivingRequest], window_s: float, before_s: float
) -> list[ArrivingRequest]:
    """The ``window_s`` with the most prompt tokens, and ``before_s`` ahead of it, from 0 s on."""
    first, tokens, most, best_at_s = 0, 0, -1, 0.0
    for one in requests:
        tokens += one.prompt_tokens
        while requests[first].at_s <= one.at_s - window_s:
            tokens -= requests[first].prompt_tokens
            first += 1
        if tokens > most:
            most, best_at_s = tokens, requests[first].at_s
    from_s = max(0.0, best_at_s - before_s)
    return [
        one._replace(at_s=one.at_s - from_s)
        for one in requests
        if from_s <= one.at_s < best_at_s + window_s
    ]
