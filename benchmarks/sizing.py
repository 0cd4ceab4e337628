"""What a simulation costs: ``python benchmarks/sizing.py``.

Goals: a working day of 500 developers in under 5 s of one core and 1 GB of memory; a simulated
request at most a tenth of what SimPy takes for it. SimPy makes every step of the engine an event,
which is how one writes such a model with it; both give the same times, and that is checked. The
full search of ``stoker size`` has a goal of its own: 60 s.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import simpy

from stoker.sizing import (
    OFFICE_DAY,
    ArrivingRequest,
    Fleet,
    StepTimes,
    VllmReplica,
    Workload,
    draw_requests,
    simulate,
)

DAY_S = 8 * 3600.0
#: About what Qwen3-Coder-30B-A3B takes on an H100; only the load of the simulation depends on it.
TIMES = StepTimes(
    step_s=2e-3, read_s=6e-3, token_s=3e-5, sequence_s=3e-5, cache_token_s=4e-9, attention_s=4e-11
)
REPLICA = VllmReplica(TIMES, kv_cache_tokens=900_000)
REPLICAS = 4


@dataclass
class OneOf:
    """A request in the SimPy model."""

    request: ArrivingRequest
    computed: int = 0
    written: int = 0
    first_s: float = 0.0


@dataclass
class SimPyModel:
    """vLLM's scheduler as a process of SimPy: each step is a timeout. It has no prefix cache."""

    replica: VllmReplica
    env: simpy.Environment = field(default_factory=simpy.Environment)
    waiting: deque[OneOf] = field(default_factory=deque)
    running: list[OneOf] = field(default_factory=list)
    first_token_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wake = self.env.event()

    def arrive(self, requests: list[ArrivingRequest]) -> Iterator[simpy.Event]:
        """Queue each request when it is due."""
        for request in requests:
            yield self.env.timeout(request.at_s - self.env.now)
            self.waiting.append(OneOf(request))
            if not self.wake.triggered:
                self.wake.succeed()

    def serve(self) -> Iterator[simpy.Event]:
        """Make steps while there is work."""
        while True:
            if not self.waiting and not self.running:
                self.wake = self.env.event()
                yield self.wake
            chunks = self.schedule()
            yield self.env.timeout(self.step_s(chunks))
            self.end_step(chunks)

    def schedule(self) -> dict[int, int]:
        """Tokens of each running request in this step, by its place."""
        budget, chunks = self.replica.max_num_batched_tokens, {}
        for place, one in enumerate(self.running):
            left = one.request.prompt_tokens - one.computed
            chunks[place] = min(max(1, left), budget)
            budget -= chunks[place]
        while budget and self.waiting and len(self.running) < self.replica.max_num_seqs:
            one = self.waiting.popleft()
            chunks[len(self.running)] = chunk = min(one.request.prompt_tokens, budget)
            budget -= chunk
            self.running.append(one)
        return chunks

    def step_s(self, chunks: dict[int, int]) -> float:
        """How long the step takes."""
        times, tokens, decoding, prompt, scores = self.replica.step_times, 0, 0, 0, 0.0
        for place, chunk in chunks.items():
            one = self.running[place]
            if one.written:
                decoding += 1
                tokens += one.computed
            else:
                prompt += chunk
                scores += chunk * (one.computed + chunk / 2)
        fixed_s = times.batch_s(decoding, prompt)
        return fixed_s + times.cache_token_s * tokens + times.attention_s * scores

    def end_step(self, chunks: dict[int, int]) -> None:
        """Count the tokens, and let those go that are done."""
        for place, chunk in chunks.items():
            one = self.running[place]
            one.computed += chunk
            if one.computed < one.request.prompt_tokens:
                continue
            if not one.written:
                one.first_s = self.env.now
                self.first_token_s.append(self.env.now - one.request.at_s)
            one.written += 1
        self.running = [o for o in self.running if o.written < o.request.output_tokens]


def a_day() -> dict[str, float]:
    """CPU seconds and peak memory of one day."""
    began_s = time.process_time()
    result = simulate(Workload(500, profile=OFFICE_DAY), Fleet([REPLICA] * REPLICAS), DAY_S)
    cpu_s = time.process_time() - began_s
    memory_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "requests": float(result.requests),
        "cpu_s": cpu_s,
        "request_us": cpu_s / result.requests * 1e6,
        "peak_memory_mb": memory_bytes / 1e6,
        "utilisation": max(result.utilisation),
    }


def beside_simpy(developers: int, duration_s: float) -> dict[str, float]:
    """CPU microseconds of a request in both, for the same requests and with the same result."""
    replica = VllmReplica(TIMES, 100_000_000, prefix_caching=False, async_scheduling=False)
    load = Workload(developers, active_share=0.5, max_context_tokens=30_000)
    requests = list(draw_requests(load, duration_s))
    began_s = time.process_time()
    result = simulate(requests, Fleet([replica]), duration_s, warm_up_s=0)
    own_s = time.process_time() - began_s
    model = SimPyModel(replica)
    model.env.process(model.arrive(requests))
    model.env.process(model.serve())
    began_s = time.process_time()
    model.env.run(until=duration_s + 3600)
    simpy_s = time.process_time() - began_s
    mean_s = sum(model.first_token_s) / len(requests)
    if result.first_token_s is None or abs(mean_s - result.first_token_s.mean.value) > 1e-6:
        sys.exit(f"the models differ: {mean_s} and {result.first_token_s}")
    return {
        "requests": float(len(requests)),
        "own_us": own_s / len(requests) * 1e6,
        "simpy_us": simpy_s / len(requests) * 1e6,
        "ratio": simpy_s / own_s,
        "mean_first_token_s": mean_s,
    }


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    figures = {"a_day": a_day(), "beside_simpy": beside_simpy(40, 3600)}
    if as_json:
        print(json.dumps(figures))
        return
    day, both = figures["a_day"], figures["beside_simpy"]
    print(
        f"a day of 500 developers: {day['requests']:,.0f} requests in {day['cpu_s']:.1f} s of CPU "
        f"({day['request_us']:.0f} us each), {day['peak_memory_mb']:.0f} MB at most, "
        f"GPUs busy {day['utilisation']:.0%}"
    )
    print(
        f"a request without a prefix cache: {both['own_us']:.0f} us; SimPy {both['simpy_us']:.0f} "
        f"us ({both['ratio']:.0f} times), the same {both['mean_first_token_s']:.4f} s on average"
    )


if __name__ == "__main__":
    main()
