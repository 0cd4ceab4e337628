"""A discrete-event simulation of a fleet that answers a workload.

Deterministic: the same workload, fleet and seed give the same result. Exact: steps are skipped only
where nothing joins or leaves a batch, so the result is that of simulating each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stoker.sizing.estimates import Estimate, Latency
from stoker.sizing.fleet import Fleet
from stoker.sizing.fleet_run import FleetRun
from stoker.sizing.recording import Slice
from stoker.sizing.workload import ArrivingRequest, Workload


@dataclass(frozen=True, slots=True)
class KindResult:
    """What requests of one kind met."""

    #: From when it was sent to the first token of its answer, in seconds.
    first_token_s: Latency | None
    #: Seconds for each token after the first.
    token_s: Latency | None


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What a fleet made of a workload. Requests that came during the warm-up are not counted."""

    duration_s: float
    warm_up_s: float
    requests: int
    completed: int
    #: Requests that an engine would answer with 400: longer than its context window.
    refused: int
    first_token_s: Latency | None
    token_s: Latency | None
    #: To the last token.
    total_s: Latency | None
    by_kind: Mapping[str, KindResult]
    #: The share of all prompt tokens that caches held.
    cached_share: Estimate
    prompt_tokens: int
    #: Prompt tokens that engines processed, some of them again after an eviction or a preemption.
    prefilled_tokens: int
    output_tokens: int
    preemptions: int
    #: The share of the time in which a replica worked on a step, for each of them.
    utilisation: tuple[float, ...]
    #: Requests in the fleet at once, and those of them in a queue, on average.
    mean_in_flight: float
    mean_waiting: float
    #: The most that waited in one replica's queue at once.
    most_waiting: int
    #: Seconds after the end until the last request was answered: much more than a request takes
    #: means that the fleet did not keep up.
    drain_s: float
    #: The run in equal parts, for charts.
    slices: tuple[Slice, ...]

    @property
    def output_tokens_per_s(self) -> float:
        """Tokens of all answers a second."""
        return self.output_tokens / (self.duration_s - self.warm_up_s)


def simulate(
    load: Workload | Sequence[ArrivingRequest],
    fleet: Fleet,
    duration_s: float = 3600.0,
    *,
    seed: int = 0,
    warm_up_s: float = 600.0,
    slices: int = 24,
) -> SimulationResult:
    """Let ``fleet`` answer ``load`` for ``duration_s``, then finish what is still under way.

    A ``Workload`` sends each request after the answer to the one before it; a sequence is replayed
    at its own times. Raises ``ValueError`` for a warm-up that leaves nothing to count.
    """
    if not 0 <= warm_up_s < duration_s:
        raise ValueError(f"a warm-up of {warm_up_s} s in a simulation of {duration_s} s")
    run = FleetRun(fleet, duration_s, warm_up_s, seed, slices)
    if isinstance(load, Workload):
        run.seat_all(load)
    else:
        run.replay(load)
    end_s = run.until_drained()
    return _result(run, end_s)


def _result(run: FleetRun, end_s: float) -> SimulationResult:
    seen = run.recording
    counted_s = run.duration_s - run.warm_up_s
    return SimulationResult(
        duration_s=run.duration_s,
        warm_up_s=run.warm_up_s,
        requests=seen.requests,
        completed=seen.completed,
        refused=seen.refused,
        first_token_s=Latency.of(seen.first_token_s()),
        token_s=Latency.of(seen.token_s()),
        total_s=Latency.of(seen.total_s()),
        by_kind={
            kind: KindResult(Latency.of(seen.first_token_s(kind)), Latency.of(seen.token_s(kind)))
            for kind in sorted(seen.kinds())
        },
        cached_share=seen.cached_share(),
        prompt_tokens=seen.prompt_tokens,
        prefilled_tokens=seen.prompt_tokens - seen.cached_tokens,
        output_tokens=seen.output_tokens,
        preemptions=seen.preemptions,
        utilisation=tuple(busy_s / counted_s for busy_s in seen.busy_s),
        mean_in_flight=seen.in_fleet_s / counted_s,
        mean_waiting=seen.waiting_s / counted_s,
        most_waiting=seen.most_waiting,
        drain_s=max(0.0, end_s - run.duration_s),
        slices=seen.slices(),
    )
