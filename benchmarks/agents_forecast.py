"""What is predicted of recordings before they are made: ``python -m benchmarks.agents_forecast``.

Prints JSON. ``recordings``: for agents in front of one vLLM on an H200, as ``record_agents`` sends
them, the percentiles that the simulation gives with planned step times and a planned cache; the
simulated agents wait for their answers. ``routing``: for 20 agents in front of two replicas that
share one GPU, with routing by prefix against a random choice. There every time is doubled, as if
both replicas worked all the time: the ratios are the prediction.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from typing import Any

from benchmarks.record_agents import SENDING_S, workload

from stoker.engines.vllm.vllm_memory import VllmSettings, visible_bytes, vllm_memory
from stoker.engines.vllm.vllm_speed import Hardware, calibrated, load_of, step_times_of
from stoker.host import find_gpu
from stoker.models import find_known_model
from stoker.planning.quantization import precision_of
from stoker.sizing import Fleet, SimulationResult, StepTimes, VllmReplica, simulate
from stoker.sizing.fleet import Routing

GPU = "H200"
#: As vLLM 0.26 was started for the recordings and the routing.
MAX_NUM_SEQS, MAX_NUM_BATCHED_TOKENS, WINDOW = 128, 8192, 40_960
SEED = 20_261_129
ROUTING_SEEDS = (SEED, SEED + 1)
#: GiB of cache that each of two replicas gets with ``--kv-cache-memory-bytes``.
SHARED_CACHE_GIB = 38
#: What a prompt pays for a token before it is scheduled. Those of ``record_agents`` are random ids,
#: which no server has to find in a text (``prompt_arrival.py``).
_IDS_TOKEN_S = 1e-6
_GIB = 1 << 30


def planned_times(model: str, quantization: str = "bf16") -> StepTimes:
    """The step times of a model on the GPU, as planned."""
    shape, hardware = find_known_model(model)[0].architecture, Hardware.of(find_gpu(GPU))
    assert shape is not None and hardware is not None
    load = load_of(shape, precision_of(quantization, shape))
    times = step_times_of(load, hardware, calibrated()[0])
    return replace(times, arrival_token_s=_IDS_TOKEN_S)


def cache_token_bytes(model: str) -> int:
    """What a token of a dense model's cache takes, in 16 bits."""
    shape = find_known_model(model)[0].architecture
    assert shape is not None
    return shape.num_layers * 2 * shape.num_kv_heads * (shape.head_dim or 0) * 2


def planned_cache_tokens(model: str) -> int:
    """The cache that is planned where the model has the GPU to itself, in tokens."""
    shape, gpu = find_known_model(model)[0].architecture, find_gpu(GPU)
    assert shape is not None
    settings = VllmSettings(
        max_model_len=WINDOW,
        gpu_memory_utilization=0.92,
        max_num_seqs=MAX_NUM_SEQS,
        max_num_batched_tokens=MAX_NUM_BATCHED_TOKENS,
        tensor_parallel_size=1,
        kv_cache_dtype="auto",
    )
    total = visible_bytes(gpu.usable_bytes or 0)
    memory = vllm_memory(shape, precision_of("bf16", shape), settings, total)
    return int(memory.kv_cache_bytes // (16 * cache_token_bytes(model))) * 16


def server(times: StepTimes, cache_tokens: int) -> VllmReplica:
    """A vLLM as it is started for the recordings."""
    return VllmReplica(
        times,
        kv_cache_tokens=cache_tokens,
        max_model_len=WINDOW,
        max_num_seqs=MAX_NUM_SEQS,
        max_num_batched_tokens=MAX_NUM_BATCHED_TOKENS,
    )


def slower(times: StepTimes, factor: float) -> StepTimes:
    """Every time longer by a factor."""
    names = [field.name for field in fields(times) if field.name.endswith("_s")]
    return replace(times, **{name: getattr(times, name) * factor for name in names})


def figures(result: SimulationResult) -> dict[str, Any]:
    """What is compared of a run."""
    assert result.first_token_s is not None and result.token_s is not None
    return {
        "requests": result.requests,
        "cached_share": round(result.cached_share.value, 4),
        "first_token_p50_s": round(result.first_token_s.p50.value, 4),
        "first_token_p95_s": round(result.first_token_s.p95.value, 4),
        "token_p50_s": round(result.token_s.p50.value, 6),
        "token_p95_s": round(result.token_s.p95.value, 6),
        "output_tokens_per_s": round(
            result.output_tokens / (SENDING_S + result.drain_s),
            1,
        ),
    }


def recording(model: str, cache_tokens: int, loads: tuple[int, ...]) -> dict[str, Any]:
    """The loads of one recording."""
    fleet = Fleet([server(planned_times(model), cache_tokens)])
    found: dict[str, Any] = {"model": model, "kv_cache_tokens": cache_tokens, "seed": SEED}
    for agents in loads:
        result = simulate(workload(agents, WINDOW), fleet, SENDING_S, seed=SEED, warm_up_s=0.0)
        found[f"{agents} agents"] = figures(result)
    return found


def routing(model: str, agents: int) -> dict[str, Any]:
    """Two replicas on one GPU: each kind of routing with each seed."""
    cache_tokens = SHARED_CACHE_GIB * _GIB // cache_token_bytes(model) // 16 * 16
    replica = server(slower(planned_times(model), 2), cache_tokens)
    found: dict[str, Any] = {"model": model, "kv_cache_tokens": cache_tokens, "agents": agents}
    names: tuple[Routing, ...] = ("random", "prefix_aware")
    for name in names:
        fleet = Fleet([replica] * 2, name)
        found[name] = {
            seed: figures(
                simulate(workload(agents, WINDOW), fleet, SENDING_S, seed=seed, warm_up_s=0.0)
            )
            for seed in ROUTING_SEEDS
        }
    return found


def main() -> None:
    """Print the predictions."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    shared_tokens = SHARED_CACHE_GIB * _GIB // cache_token_bytes("qwen3-8b") // 16 * 16
    print(
        json.dumps(
            {
                "recordings": [
                    recording("qwen3-14b", planned_cache_tokens("qwen3-14b"), (8, 16, 32)),
                    recording("qwen3-8b", shared_tokens, (8, 16, 24)),
                ],
                "routing": routing("qwen3-8b", 20),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
