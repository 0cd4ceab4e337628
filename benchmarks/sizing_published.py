"""The simulation beside published measurements: ``python benchmarks/sizing_published.py``.

Goal: half of the rows of ``measured_serving.csv`` within 15 %. Each row is a closed loop as such
benchmarks run it: as many requests at once as the row states, all sent in the first moment, ten
generations of them and none left out, with lengths from 80 % of the nominal ones to all of it. So
the burst at the beginning counts, and requests of nearly the same length keep coming together; that
is most of the time to first token from 32 requests on. A server's steps and its cache are those of
the row's script: where the cache holds fewer requests than are sent, the others wait. ``--every N``
takes each N-th row (default 10; all take a minute).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from statistics import median

from measured_rows import DATA, ServingRow, serving_rows

from stoker.engines.vllm.vllm_speed import calibrated, step_times_of
from stoker.errors import StokerError
from stoker.sizing import (
    CHAT,
    Fleet,
    LogNormal,
    SessionShape,
    SimulationResult,
    VllmReplica,
    Workload,
    simulate,
)

_GOAL = 0.15
#: As InferenceMAX, whose lengths most rows have, runs its client: ``num_prompts`` is ten times
#: ``max_concurrency``, ``request_rate`` infinite, and a ``random_range_ratio`` of 0.8 draws lengths
#: with a spread of 0.2 / sqrt(12) around 0.9 of the nominal one, which is what a row's traffic has.
_GENERATIONS = 10
_LENGTH_SIGMA = 0.064


def main() -> None:
    """Print the errors by GPU, and of all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=10, help="take each N-th row")
    every = parser.parse_args().every
    rows = [
        row
        for row in serving_rows(DATA / "measured_serving.csv")
        if not isinstance(row, StokerError) and not row.doubt
    ][::every]
    token: dict[str, list[float]] = defaultdict(list)
    first: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        found = _simulated(row)
        if found is None or found.token_s is None or found.first_token_s is None:
            continue
        for name in (row.gpu_name, "all"):
            if row.token_s:
                token[name].append(found.token_s.mean.value / row.token_s - 1)
            if row.first_token_s:
                first[name].append(found.first_token_s.mean.value / row.first_token_s - 1)
    for name in sorted(token, key=lambda name: (name == "all", name)):
        print(f"  {name:24} token {_median(token[name])}, first token {_median(first[name])}")
    for what, errors in (("time per token", token["all"]), ("time to first token", first["all"])):
        reached = median(map(abs, errors)) <= _GOAL
        print(f"{'reached' if reached else 'MISSED'}: {what}, median within {_GOAL:.0%}")


def _simulated(row: ServingRow) -> SimulationResult | None:
    """The row's closed loop; ``None`` where the load can't be divided among replicas."""
    traffic = row.traffic
    length = traffic.prompt_tokens + 4 * traffic.answer_tokens
    times = step_times_of(row.load, row.hardware, calibrated()[0])
    if traffic.prompt_tokens <= row.limits.max_cudagraph_capture_size:
        times = replace(times, launches_s=0.0)
    # The planner's cache, which is at least what one request may take.
    held = min(row.limits.requests, traffic.concurrency + 2)
    kv_cache_tokens = int(held * (traffic.prompt_tokens + traffic.answer_tokens + 32))
    replica = VllmReplica(
        times,
        kv_cache_tokens=max(kv_cache_tokens, length + 32),
        max_model_len=length,
        max_num_seqs=max(1, traffic.concurrency),
        max_num_batched_tokens=max(row.limits.max_num_batched_tokens, traffic.concurrency),
    )
    shape = SessionShape(
        head_tokens=int(traffic.prefix_hit * traffic.prompt_tokens),
        first_tokens=_varied((1 - traffic.prefix_hit) * traffic.prompt_tokens),
        append_tokens=_always(1),
        output_tokens=_varied(traffic.answer_tokens),
        human_s=_always(1e-3),
    )
    load = Workload(
        traffic.concurrency, 1.0, {CHAT: 1.0}, {CHAT: shape}, max_context_tokens=4 * length
    )
    request_s = traffic.answer_tokens * (row.token_s or 0.05) + (row.first_token_s or 1.0)
    return simulate(load, Fleet([replica]), _GENERATIONS * request_s, warm_up_s=0.0)


def _varied(tokens: float) -> LogNormal:
    return LogNormal(max(1.0, tokens), _LENGTH_SIGMA, 1)


def _always(value: float) -> LogNormal:
    return LogNormal(max(1e-9, value))


def _median(errors: list[float]) -> str:
    if not errors:
        return "-"
    size, bias = median(map(abs, errors)), median(errors)
    return f"{100 * size:5.1f} % (bias {100 * bias:+5.1f} %) of {len(errors)}"


if __name__ == "__main__":
    main()
