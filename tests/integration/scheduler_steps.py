"""Runs vLLM's own scheduler and the simulated one side by side, and prints where they differ.

Run by the Python of a vLLM installation, with Stoker on its path. It takes a model's folder and
scenarios as JSON on standard input, and prints one JSON document after ``RESULT``.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from vllm.config import CacheConfig, DeviceConfig, ModelConfig, SchedulerConfig, VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

from stoker.sizing import ArrivingRequest, StepTimes, VllmReplica
from stoker.sizing.in_flight import InFlight
from stoker.sizing.vllm_engine import VllmEngine

#: Its step times play no part: both schedulers are asked step by step.
TIMES = StepTimes(step_s=1.0, read_s=0.0, token_s=0.0)


@dataclass
class Step:
    """One decision: tokens by request, who lost its blocks, what was found, what is free."""

    scheduled: dict[str, int]
    preempted: list[str]
    hits: dict[str, int]
    free_blocks: int
    finished: list[str] = field(default_factory=list)


class RealScheduler:
    """vLLM's, fed with answers of chosen lengths."""

    def __init__(self, model: str, replica: VllmReplica) -> None:
        config = SchedulerConfig(
            max_num_seqs=replica.max_num_seqs,
            max_num_batched_tokens=replica.max_num_batched_tokens,
            max_model_len=replica.max_model_len,
            enable_chunked_prefill=True,
            async_scheduling=False,
            is_encoder_decoder=False,
        )
        cache = CacheConfig(
            block_size=replica.block_size, enable_prefix_caching=replica.prefix_caching
        )
        cache.num_gpu_blocks = replica.blocks
        vllm_config = VllmConfig(
            model_config=ModelConfig(model=model, max_model_len=replica.max_model_len, seed=1),
            scheduler_config=config,
            cache_config=cache,
            device_config=DeviceConfig("cpu"),
        )
        spec = FullAttentionSpec(
            block_size=replica.block_size, num_kv_heads=1, head_size=1, dtype=torch.float32
        )
        self.scheduler = Scheduler(
            vllm_config=vllm_config,
            kv_cache_config=KVCacheConfig(
                num_blocks=replica.blocks,
                kv_cache_tensors=[],
                kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)],
            ),
            structured_output_manager=StructuredOutputManager(vllm_config),
            block_size=replica.block_size,
        )
        self.hasher = get_request_block_hasher(replica.block_size, sha256)
        self.arriving: dict[str, ArrivingRequest] = {}

    def add(self, name: str, arriving: ArrivingRequest) -> None:
        self.arriving[name] = arriving
        tokens = [token_at(arriving, at) for at in range(arriving.prompt_tokens)]
        parameters = SamplingParams(max_tokens=arriving.output_tokens, ignore_eos=True)
        parameters.update_from_generation_config({}, -1)
        self.scheduler.add_request(
            Request(name, tokens, parameters, None, block_hasher=self.hasher)
        )

    def step(self) -> Step:
        output = self.scheduler.schedule()
        resumed = output.scheduled_cached_reqs
        hits = {new.req_id: new.num_computed_tokens for new in output.scheduled_new_reqs}
        for name, computed in zip(resumed.req_ids, resumed.num_computed_tokens, strict=True):
            if name in resumed.resumed_req_ids:
                hits[name] = computed
        step = Step(
            dict(output.num_scheduled_tokens),
            sorted(output.preempted_req_ids or ()),
            hits,
            self.scheduler.kv_cache_manager.block_pool.get_num_free_blocks(),
        )
        sampled = []
        for name in step.scheduled:
            request = self.scheduler.requests[name]
            writes = request.num_computed_tokens >= request.num_tokens
            sampled.append([token_at(self.arriving[name], request.num_tokens)] if writes else [])
        names = list(step.scheduled)
        self.scheduler.update_from_output(
            output,
            ModelRunnerOutput(
                req_ids=names,
                req_id_to_index={name: i for i, name in enumerate(names)},
                sampled_token_ids=sampled,
            ),
        )
        step.finished = [name for name in names if name not in self.scheduler.requests]
        return step


class SimulatedScheduler:
    """Stoker's, one step at a time."""

    def __init__(self, replica: VllmReplica) -> None:
        self.engine = VllmEngine(replica, longest_span=1)
        self.names: dict[InFlight, str] = {}

    def add(self, name: str, arriving: ArrivingRequest) -> None:
        one = InFlight(arriving)
        self.names[one] = name
        self.engine.add(one)

    def step(self) -> Step:
        before = dict.fromkeys(self.engine.running)
        self.engine.start(0.0)
        running = self.engine.running
        names = self.names
        step = Step(
            {names[one]: one.chunk or 1 for one in running},
            sorted(names[one] for one in before if one not in running),
            {names[one]: one.computed for one in running if one not in before},
            self.engine.cache.free,
        )
        step.finished = [names[one] for one in self.engine.finish(0.0)]
        return step


def token_at(arriving: ArrivingRequest, at: int) -> int:
    """The token at a place of a conversation: that of its head, or its own."""
    if at < arriving.head_tokens:
        return 1 + hash((len(arriving.head), ord(arriving.head[-1]), at)) % 20_000
    return 1 + hash((arriving.session, at)) % 20_000


def compare(model: str, scenario: dict[str, Any]) -> dict[str, Any]:
    """Both schedulers over one scenario, with the steps in which they differ."""
    replica = VllmReplica(TIMES, **scenario["replica"])
    real, simulated = RealScheduler(model, replica), SimulatedScheduler(replica)
    rng = random.Random(scenario["seed"])
    idle: list[ArrivingRequest] = []
    asked: dict[str, ArrivingRequest] = {}
    preempted = hits = steps = 0
    differences: list[str] = []
    sessions = iter(range(1, 1 << 30))
    while steps < scenario["steps"]:
        for _ in range(rng.choice((0, 0, 0, 1, 1, 3)) if asked else 1):
            arriving = next_arrival(rng, replica, idle, sessions)
            name = f"r{len(real.arriving)}"
            asked[name] = arriving
            real.add(name, arriving)
            simulated.add(name, arriving)
        expected, got = real.step(), simulated.step()
        steps += 1
        preempted += len(expected.preempted)
        hits += sum(map(bool, expected.hits.values()))
        if expected != got:
            differences.append(f"step {steps}: vLLM {expected}; simulated {got}")
            break
        for name in expected.finished:
            done = asked.pop(name)
            idle.append(
                done._replace(
                    prompt_tokens=done.prompt_tokens + rng.choice((0, done.output_tokens))
                )
            )
    return {"steps": steps, "differences": differences, "preempted": preempted, "hits": hits}


def next_arrival(
    rng: random.Random,
    replica: VllmReplica,
    idle: list[ArrivingRequest],
    sessions: Iterator[int],
) -> ArrivingRequest:
    """A conversation goes on, is asked again, or a new one starts over a head that others share."""
    most = replica.max_model_len
    output = rng.choice((1, 2, rng.randint(1, 40), rng.randint(1, most // 4)))
    if idle and rng.random() < 0.65:
        talk = idle.pop(rng.randrange(len(idle)))
        tokens = talk.prompt_tokens + rng.choice((0, 1, rng.randint(0, most // 8)))
        if tokens + output < most:
            return talk._replace(prompt_tokens=tokens, output_tokens=output)
    head = rng.choice("abc")
    head_tokens = {"a": 0, "b": most // 9, "c": most // 4}[head]
    tokens = head_tokens + rng.randint(1, rng.choice((most // 20, most // 3)))
    return ArrivingRequest(0.0, next(sessions), tokens, output, "chat", head, head_tokens)


def main() -> None:
    asked = json.load(sys.stdin)
    init_none_hash(sha256)
    results = [compare(asked["model"], scenario) for scenario in asked["scenarios"]]
    print("RESULT" + json.dumps(results))


if __name__ == "__main__":
    main()
