"""The simulation beside published measurements: ``python benchmarks/sizing_published.py``.

Goal: half of the rows of ``measured_serving.csv`` within 15 %. Each row is a closed loop as such
benchmarks run it: as many requests at once as the row states, all sent in the first moment, ten
generations of them and none left out, with lengths from 80 % of the nominal ones to all of it. So
the burst at the beginning counts, and requests of nearly the same length keep coming together; that
is most of the time to first token from 32 requests on. A server's steps and its cache are those of
the row's script: where the cache holds fewer requests than are sent, the others wait. ``--every N``
takes each N-th row (default 10; all take a minute).

``--corrected`` separates the simulation from its step times: the rows with up to eight requests
give each set-up two factors on them, as ``stoker size --calibrate`` does, and only rows with more
requests are compared.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Hashable, Sequence
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
from stoker.sizing.correction import Correction, corrected
from stoker.sizing.fleet import Replica

_GOAL = 0.15
#: As InferenceMAX, whose lengths most rows have, runs its client: ``num_prompts`` is ten times
#: ``max_concurrency``, ``request_rate`` infinite, and a ``random_range_ratio`` of 0.8 draws lengths
#: with a spread of 0.2 / sqrt(12) around 0.9 of the nominal one, which is what a row's traffic has.
_GENERATIONS = 10
#: So many requests at once wait for each other too little to hide what a step takes.
_FEW = 8
_LENGTH_SIGMA = 0.064
#: Its prompts are texts of random tokens, which take longer to find than those of source code
#: (``prompt_arrival.py``), in seconds for a token.
_ARRIVAL_TOKEN_S = 4e-6


def main() -> None:
    """Print the errors by GPU, and of all rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=10, help="take each N-th row")
    parser.add_argument("--corrected", action="store_true", help="with each set-up's own factors")
    options = parser.parse_args()
    rows = [
        row
        for row in serving_rows(DATA / "measured_serving.csv")
        if not isinstance(row, StokerError) and not row.doubt
    ][:: options.every]
    factors = _factors(rows) if options.corrected else None
    token: dict[str, list[float]] = defaultdict(list)
    first: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if factors is not None and (_few(row) or _set_up(row) not in factors):
            continue
        found = _simulated(row, factors[_set_up(row)] if factors else None)
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


def _few(row: ServingRow) -> bool:
    return row.traffic.concurrency <= _FEW


def _set_up(row: ServingRow) -> Hashable:
    """What the step times of a row depend on, but for the number of requests."""
    setup, limits = row.setup, row.limits
    flags = limits.max_num_batched_tokens, limits.max_cudagraph_capture_size
    return row.gpu_name, setup.model, setup.gpus, setup.precision, row.traffic.prompt_tokens, flags


def _factors(rows: Sequence[ServingRow]) -> dict[Hashable, Correction]:
    """How much longer than planned the steps of each set-up take with few requests at once."""
    ratios: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
    for row in filter(_few, rows):
        found = _simulated(row)
        if found and found.token_s and found.first_token_s and row.token_s and row.first_token_s:
            first = row.first_token_s / found.first_token_s.mean.value
            ratios[_set_up(row)].append((first, row.token_s / found.token_s.mean.value))
    medians = {
        key: [median(each) for each in zip(*pairs, strict=True)] for key, pairs in ratios.items()
    }
    return {key: Correction(first, token, first) for key, (first, token) in medians.items()}


def _simulated(row: ServingRow, correction: Correction | None = None) -> SimulationResult | None:
    """The row's closed loop; ``None`` where the load can't be divided among replicas."""
    traffic = row.traffic
    length = traffic.prompt_tokens + 4 * traffic.answer_tokens
    planned = step_times_of(row.load, row.hardware, calibrated()[0])
    times = replace(planned, arrival_token_s=_ARRIVAL_TOKEN_S)
    if traffic.prompt_tokens <= row.limits.max_cudagraph_capture_size:
        times = replace(times, launches_s=0.0)
    # The planner's cache, which is at least what one request may take.
    held = min(row.limits.requests, traffic.concurrency + 2)
    kv_cache_tokens = int(held * (traffic.prompt_tokens + traffic.answer_tokens + 32))
    replica: Replica = VllmReplica(
        times,
        kv_cache_tokens=max(kv_cache_tokens, length + 32),
        max_model_len=length,
        max_num_seqs=max(1, traffic.concurrency),
        max_num_batched_tokens=max(row.limits.max_num_batched_tokens, traffic.concurrency),
    )
    if correction:
        replica = corrected(replica, correction)
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
