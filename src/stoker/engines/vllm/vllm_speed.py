"""Time to first token and time per token of vLLM on GPUs: bytes moved and operations done.

A decode step reads the weights that its batch needs and the cache of every sequence in it; a
prompt costs two operations for each weight it passes through, and attention on top. Between the
layers, GPUs exchange activations, and every kernel costs its launch. What the hardware reaches of
its peak rates is fitted to measurements (``benchmarks/calibrate_speed.py``) and kept in
``data/speed.toml``; how far predictions are off on models and GPUs that the fit has not seen gives
the interval that every prediction carries.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache

from stoker.data.facts import load_table
from stoker.engines.vllm.vllm_memory import (
    VllmSettings,
    kv_bytes_per_token,
    state_bytes_per_sequence,
)
from stoker.host import GpuSpec
from stoker.models import Architecture, AttentionLayers
from stoker.planning.parameter_count import count_weights
from stoker.planning.quantization import Precision, precision_of
from stoker.planning.serving_plan import Interval, Plan, Speed, Traffic
from stoker.sizing import StepTimes, VllmReplica

#: Data-centre cards with less have GDDR: L40S 864 GB/s, A10 600, L4 300; A100 1555 and more.
_LEAST_HBM_BYTES_S = 1.2e12
#: GPUs without NVLink exchange data over PCIe: bytes a second in one direction, 16 lanes.
_PCIE_BYTES_S = {"3.0": 12e9, "4.0": 24e9, "5.0": 48e9, "6.0": 48e9}
#: The block that vLLM keeps for itself beside those for requests.
_OWN_BLOCK_TOKENS = 16
#: How likely the next token is what the model's own extra layer guessed. With the costs below it
#: gives what was published for Qwen3.8-27B in FP8 on an RTX PRO 6000: 53 tokens/s, and 78 with
#: three guesses.
_ACCEPTANCE = 0.54


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What hardware and vLLM reach of the peak rates; every time is in seconds."""

    #: Share of the peak bandwidth when reading weights, experts and the cache.
    weights: float = 0.85
    experts: float = 0.6
    cache: float = 0.8
    #: Share of the peak rate in prompts, by the type of the arithmetic.
    fp16: float = 0.65
    fp8: float = 0.5
    fp4: float = 0.3
    #: Weights of 4 bits that are widened to 16 first (Marlin).
    widened: float = 0.5
    #: The same for routed experts, as a factor: their matrices are small.
    routed: float = 0.35
    attention: float = 0.5
    #: One decode step: its own cost, that of a layer, of a routed layer and of a sequence.
    step_s: float = 0.4e-3
    layer_s: float = 30e-6
    routed_layer_s: float = 20e-6
    recurrent_layer_s: float = 15e-6
    sequence_s: float = 8e-6
    #: One exchange among GPUs: its latency, and the share of the link's rate.
    exchange_s: float = 7e-6
    link: float = 0.7
    pcie_exchange_s: float = 25e-6
    #: What a request pays before its prompt is read: HTTP, tokens, scheduling.
    arrival_s: float = 10e-3
    #: A prompt's own cost for a layer, and for a routed layer on top, however short it is.
    prompt_layer_s: float = 250e-6
    routed_prompt_layer_s: float = 600e-6
    #: How many others' prompts a request waits for: for each other sequence, and for each
    #: doubling of their number.
    queue_each: float = 0.08
    queue_doubling: float = 0.1
    #: Prompts of others that run between the steps of an answer, as a share of their full time.
    interference: float = 0.9
    #: What data-parallel attention with expert parallelism costs on top, as a factor of the step.
    expert_parallel: float = 0.15
    #: How much nearer to their peak bandwidth GDDR cards come than data-centre GPUs with HBM.
    consumer: float = 1.25
    blackwell: float = 1.0
    #: How much less of the peak rates the smaller matrices of a group of GPUs reach, for each
    #: doubling of their number: when weights are read, and in prompts.
    split_read: float = 0.07
    split_prompt: float = 0.05


@dataclass(frozen=True, slots=True)
class Hardware:
    """The rates of one kind of GPU, per GPU."""

    bandwidth_bytes_s: float
    flops: Mapping[str, float] = field(hash=False)
    link_bytes_s: float
    nvlink: bool
    #: Stacked memory, of whose peak less is reached than of GDDR's.
    hbm: bool = True
    #: NVIDIA's tenth generation and later, whose kernels are younger than the others'.
    blackwell: bool = False

    @classmethod
    def of(cls, spec: GpuSpec) -> Hardware | None:
        """The rates of ``spec``, or ``None`` where its bandwidth or 16-bit rate is not known."""
        if not spec.bandwidth_bytes_per_s or not (flops := _rates(spec.flops)):
            return None
        generation, _, lanes = (spec.pcie or "4.0 x16").partition(" x")
        pcie = _PCIE_BYTES_S.get(generation, 24e9) * int(lanes or 16) / 16
        return cls(
            bandwidth_bytes_s=spec.bandwidth_bytes_per_s,
            flops=flops,
            link_bytes_s=spec.nvlink_bytes_per_s / 2 if spec.nvlink_bytes_per_s else pcie,
            nvlink=bool(spec.nvlink_bytes_per_s) and spec.kind == "datacenter",
            hbm=spec.kind == "datacenter" and spec.bandwidth_bytes_per_s > _LEAST_HBM_BYTES_S,
            blackwell=(spec.compute_capability or (0, 0))[0] >= 10,
        )


@dataclass(frozen=True, slots=True)
class ServingLoad:
    """What one model costs on one GPU of a group, worked out once and used for every prediction."""

    dense_bytes: float
    expert_bytes: float
    #: The part of the experts that one token uses.
    expert_share: float
    #: Operations of one token, by the type of the arithmetic, outside and inside routed experts.
    flops: Mapping[str, float]
    expert_flops: Mapping[str, float]
    #: Operations for one token and one token before it, and the windows that bound some layers.
    attention_flops: float
    windowed_flops: float
    window_tokens: float
    head_bytes: float
    cache_bytes: float
    windowed_bytes: float
    state_bytes: float
    #: Layers of a mixer and a feed-forward part. Where a layer of the model is one of the two, as
    #: in Nemotron, it is half of one.
    layers: float
    routed_layers: int
    recurrent_layers: int
    hidden_bytes: float
    gpus: int
    expert_parallel: bool


def load_of(
    architecture: Architecture,
    precision: Precision,
    gpus: int = 1,
    *,
    attention_dp: int = 1,
    expert_parallel: bool = False,
    kv_cache_dtype: str = "auto",
) -> ServingLoad:
    """The cost of ``architecture`` on each of ``gpus`` GPUs.

    ``attention_dp``: groups of GPUs that hold whole attention layers, each for its own sequences.
    """
    count = count_weights(architecture)
    attention_gpus = max(1, gpus // attention_dp)
    settings = VllmSettings(
        max_model_len=1, tensor_parallel_size=attention_gpus, kv_cache_dtype=kv_cache_dtype
    )
    experts = architecture.experts
    share = experts.experts_per_token / experts.num_experts if experts else 0.0
    mixing = (count.attention + count.recurrent) / attention_gpus
    dense, shared = count.dense / gpus, count.shared_experts / gpus
    parts = (
        (mixing, precision.attention_bits),
        (dense, precision.dense_bits),
        (shared, precision.shared_bits),
    )
    heads = architecture.num_attention_heads / attention_gpus
    windowed = [g for g in architecture.attention if g.kind in ("sliding", "chunked")]
    whole = [g for g in architecture.attention if g.kind not in ("sliding", "chunked")]
    everything = kv_bytes_per_token(architecture, settings)
    return ServingLoad(
        dense_bytes=sum(parameters * bits for parameters, bits in parts) / 8,
        expert_bytes=count.experts / gpus * precision.expert_bits / 8,
        expert_share=share,
        flops=_flops(parts, precision),
        expert_flops={precision.math_of(precision.expert_bits): 2 * count.experts / gpus * share},
        attention_flops=2
        * heads
        * sum(g.num_layers * _score_width(g, architecture) / g.compress_ratio for g in whole),
        windowed_flops=2
        * heads
        * sum(g.num_layers * _score_width(g, architecture) for g in windowed),
        window_tokens=max((g.window_tokens or 0 for g in windowed), default=0),
        head_bytes=count.embedding * precision.table_bits / 8 / gpus,
        cache_bytes=everything,
        windowed_bytes=_windowed_bytes(windowed, attention_gpus, kv_cache_dtype),
        state_bytes=state_bytes_per_sequence(architecture, settings),
        layers=_whole_layers(architecture),
        routed_layers=experts.num_layers if experts else 0,
        recurrent_layers=sum(group.num_layers for group in architecture.recurrent),
        hidden_bytes=2 * architecture.hidden_size,
        gpus=gpus,
        expert_parallel=expert_parallel or attention_dp > 1,
    )


def _whole_layers(architecture: Architecture) -> float:
    mixers = sum(g.num_layers for g in architecture.attention)
    mixers += sum(g.num_layers for g in architecture.recurrent)
    routed = architecture.experts.num_layers if architecture.experts else 0
    parts = mixers + (architecture.num_dense_layers or 0) + routed
    return architecture.num_layers / (2 if parts == architecture.num_layers else 1)


def _windowed_bytes(
    windowed: Iterable[AttentionLayers], attention_gpus: int, kv_cache_dtype: str
) -> float:
    """Bytes of cache that one token takes in the layers with a window, on each GPU."""
    value_bytes = 1 if kv_cache_dtype.startswith("fp8") else 2
    return sum(
        g.num_layers
        * max(1.0, g.num_kv_heads / attention_gpus)
        * (g.key_dim + g.value_dim)
        * value_bytes
        for g in windowed
    )


def _flops(parts: Iterable[tuple[float, float]], precision: Precision) -> dict[str, float]:
    """Operations of one token by the type of the arithmetic, of parameters and their bits."""
    flops: dict[str, float] = {}
    for parameters, bits in parts:
        kind = precision.math_of(bits)
        flops[kind] = flops.get(kind, 0.0) + 2 * parameters
    return flops


def step_s(
    load: ServingLoad,
    hardware: Hardware,
    batch: float,
    context: float,
    e: Efficiency,
    drafts: int = 0,
) -> float:
    """One decode step of ``batch`` sequences with ``context`` tokens each.

    With ``drafts``, as many tokens are guessed for each sequence and checked in the same step.
    """
    bandwidth = _bandwidth(hardware, e)
    split = 1 + e.split_read * math.log2(load.gpus)
    touched = 1 - (1 - load.expert_share) ** batch if load.expert_share else 0.0
    weights = (load.dense_bytes + load.head_bytes) / (bandwidth * e.weights) * split
    experts = load.expert_bytes * touched / (bandwidth * e.experts)
    arithmetic = batch * (1 + drafts) * prompt_token_s(load, hardware, e)
    window = min(context, load.window_tokens)
    cache = batch * (context * load.cache_bytes + window * load.windowed_bytes)
    cache = (cache + 2 * batch * load.state_bytes) / (bandwidth * e.cache)
    fixed = e.step_s + load.layers * e.layer_s + load.routed_layers * e.routed_layer_s
    fixed += load.recurrent_layers * e.recurrent_layer_s + batch * e.sequence_s
    kernels = math.hypot(weights + experts, arithmetic) + cache
    if hardware.blackwell:
        kernels /= e.blackwell
    total = kernels + fixed + _exchange_s(load, hardware, batch, e)
    total += drafts * _draft_s(load, hardware, e)
    return total * (1 + e.expert_parallel) if load.expert_parallel else total


def _draft_s(load: ServingLoad, hardware: Hardware, e: Efficiency) -> float:
    """One guess: the output head is read, and one layer more, in launches of their own."""
    layer = (load.dense_bytes + load.expert_share * load.expert_bytes) / load.layers
    return (load.head_bytes + layer) / (_bandwidth(hardware, e) * e.weights) + e.step_s


def tokens_per_step(drafts: int) -> float:
    """Tokens that a step is expected to add to a sequence: one, and the guesses up to the first
    that was wrong."""
    return float((1 - _ACCEPTANCE ** (drafts + 1)) / (1 - _ACCEPTANCE))


def prompt_s(
    load: ServingLoad, hardware: Hardware, prompt: float, cached: float, e: Efficiency
) -> float:
    """What a prompt of ``prompt`` tokens, of which ``cached`` need no work, adds to a step."""
    new = max(1.0, prompt - cached)
    arithmetic = new * prompt_token_s(load, hardware, e)
    seen = cached + new / 2
    window = min(seen, load.window_tokens)
    scores = new * (seen * load.attention_flops + window * load.windowed_flops)
    attention = scores / (hardware.flops["fp16"] * e.attention)
    total = (arithmetic + attention) * (1 + e.split_prompt * math.log2(load.gpus))
    if hardware.blackwell:
        total /= e.blackwell
    return total + _moved_s(load, hardware, new, e)


def prompt_token_s(load: ServingLoad, hardware: Hardware, e: Efficiency) -> float:
    """The arithmetic of one token in the matrices, with nothing else running."""
    dense = sum(flops / _rate(kind, hardware, e) for kind, flops in load.flops.items())
    routed = sum(
        flops / (_rate(kind, hardware, e) * e.routed) for kind, flops in load.expert_flops.items()
    )
    return dense + routed


def _rate(kind: str, hardware: Hardware, e: Efficiency) -> float:
    """Operations a second that are reached in a type. One that the GPU cannot multiply, and
    ``widened`` weights, are brought to 16 bits first."""
    if kind == "mxfp4":
        # Blackwell multiplies MXFP4 with 8-bit activations; others widen it.
        kind = "fp8" if hardware.blackwell and "fp8" in hardware.flops else "widened"
    if kind not in hardware.flops:
        return hardware.flops["fp16"] * e.widened
    return hardware.flops[kind] * {"fp16": e.fp16, "fp4": e.fp4}.get(kind, e.fp8)


def times(
    load: ServingLoad, hardware: Hardware, traffic: Traffic, e: Efficiency, drafts: int = 0
) -> tuple[float, float, float]:
    """Seconds to the first token, for each further token, and for a prompt that runs alone.

    An answer is interrupted by the prompts of other requests, as vLLM runs prompts between decode
    steps. With as many starts as ends, each other sequence starts once in the time of a whole
    request, of which the writing of the answer is a part.
    """
    batch, prompt = traffic.concurrency, traffic.prompt_tokens
    cached = traffic.prefix_hit * prompt
    added = prompt_s(load, hardware, prompt, cached, e)
    alone = math.hypot(added, _read_s(load, hardware, e)) + _launches_s(load, e)
    context = prompt + traffic.answer_tokens / 2
    others = batch - 1
    waits = e.queue_each * others + e.queue_doubling * math.log2(batch)
    first = e.arrival_s + alone + added * waits
    token_s = step_s(load, hardware, batch, context, e, drafts) / tokens_per_step(drafts)
    steps = traffic.answer_tokens * token_s
    interrupted = e.interference * others * added
    writing = steps + interrupted
    writing = steps + interrupted * writing / (writing + first)
    return first, writing / max(1, traffic.answer_tokens), alone


def _read_s(load: ServingLoad, hardware: Hardware, e: Efficiency) -> float:
    """All weights once, which a step with a prompt reads while it multiplies."""
    return (load.dense_bytes + load.expert_bytes) / (_bandwidth(hardware, e) * e.weights)


def _launches_s(load: ServingLoad, e: Efficiency) -> float:
    """The launches of a step with a prompt, however short."""
    return load.layers * e.prompt_layer_s + load.routed_layers * e.routed_prompt_layer_s


def _bandwidth(hardware: Hardware, e: Efficiency) -> float:
    return hardware.bandwidth_bytes_s * (1.0 if hardware.hbm else e.consumer)


def _moved_s(load: ServingLoad, hardware: Hardware, tokens: float, e: Efficiency) -> float:
    if load.gpus == 1:
        return 0.0
    share = 2 * (load.gpus - 1) / load.gpus
    return 2 * load.layers * tokens * load.hidden_bytes * share / (hardware.link_bytes_s * e.link)


def _exchange_s(load: ServingLoad, hardware: Hardware, tokens: float, e: Efficiency) -> float:
    """Two all-reduces a layer: a ring moves 2 (n-1)/n of the activations through each link."""
    if load.gpus == 1:
        return 0.0
    latency = e.exchange_s if hardware.nvlink else e.pcie_exchange_s
    return 2 * load.layers * latency * math.log2(load.gpus) + _moved_s(load, hardware, tokens, e)


def _score_width(group: AttentionLayers, architecture: Architecture) -> int:
    """Multiply-adds of one head for one earlier token: its key and its value.

    In prompts latent attention is computed with its keys and values unpacked.
    """
    if group.kind == "latent":
        return 2 * architecture.head_dim
    return group.key_dim + (group.value_dim or group.key_dim)


def _rates(flops: Mapping[str, float]) -> dict[str, float]:
    """Rates with 16 bits in it: where only narrower ones are published, each halving of the width
    doubles the rate on tensor cores."""
    rates = dict(flops)
    if "fp16" not in rates and "fp4" in rates:
        rates["fp16"] = rates["fp4"] / 4
    return rates if "fp16" in rates else {}


@cache
def calibrated() -> tuple[Efficiency, tuple[float, float], tuple[float, float]]:
    """The fitted efficiency, and what to multiply a time per token and a time to first token with
    for the low and the high end of their intervals."""
    values = load_table("speed")
    fitted = Efficiency(**{f.name: float(values["efficiency"][f.name]) for f in fields(Efficiency)})
    token, first = values["interval"]["token"], values["interval"]["first_token"]
    return fitted, (token[0], token[1]), (first[0], first[1])


def predict(
    load: ServingLoad, hardware: Hardware, traffic: Traffic, drafts: int = 0
) -> tuple[Speed, float]:
    """The speed under ``traffic``, and the prompt tokens a second of a prompt that runs alone.

    ``drafts``: tokens that the model's own extra layers guess ahead in each step.
    """
    efficiency, token_range, first_range = calibrated()
    first, token, alone = times(load, hardware, traffic, efficiency, drafts)
    speed = Speed(
        concurrency=traffic.concurrency,
        prompt_tokens=traffic.prompt_tokens,
        first_token_s=Interval(first, first * first_range[0], first * first_range[1]),
        token_s=Interval(token, token * token_range[0], token * token_range[1]),
    )
    return speed, traffic.prompt_tokens * (1 - traffic.prefix_hit) / alone


def speed_under(plan: Plan, spec: GpuSpec, traffic: Traffic) -> Speed | None:
    """The speed of a plan for vLLM under other ``traffic`` than it was made for, on ``spec``.

    ``None`` for a plan on the CPU, and where the model's shape or the GPU's rates are not known.
    """
    hardware, shape = Hardware.of(spec), plan.model.architecture
    if plan.gpus < 1 or hardware is None or shape is None:
        return None
    return predict(_load_of_plan(plan, shape), hardware, traffic, _drafts(plan))[0]


def _drafts(plan: Plan) -> int:
    config = plan.argument("speculative_config")
    return int(json.loads(str(config))["num_speculative_tokens"]) if config else 0


def _load_of_plan(plan: Plan, shape: Architecture) -> ServingLoad:
    return load_of(
        shape,
        precision_of(plan.model.quantization, shape),
        int(plan.argument("tensor_parallel_size") or 1),
        kv_cache_dtype=str(plan.argument("kv_cache_dtype") or "auto"),
    )


def replica_of(plan: Plan, spec: GpuSpec) -> VllmReplica | None:
    """A plan for vLLM as the simulation knows it: its settings, its cache and its step times.

    Guesses ahead are left out: they are planned for a few requests at once, and fleets have many.

    ``None`` for a plan on the CPU, and where the model's shape or the GPU's rates are not known.
    """
    hardware, shape = Hardware.of(spec), plan.model.architecture
    if plan.gpus < 1 or hardware is None or shape is None or plan.max_concurrency is None:
        return None
    load = _load_of_plan(plan, shape)
    return VllmReplica(
        step_times_of(load, hardware, calibrated()[0]),
        kv_cache_tokens=int(plan.max_concurrency * plan.max_model_len) + _OWN_BLOCK_TOKENS,
        max_model_len=plan.max_model_len,
        max_num_seqs=int(plan.argument("max_num_seqs") or 256),
        max_num_batched_tokens=int(plan.argument("max_num_batched_tokens") or 2048),
    )


def step_times_of(load: ServingLoad, hardware: Hardware, e: Efficiency) -> StepTimes:
    """What ``step_s`` and ``prompt_s`` compute, as the coefficients of one step's batch.

    A window counts as full: prompts of agents are longer than the windows of today's models.
    """
    bandwidth, kernels = _bandwidth(hardware, e), 1 / (e.blackwell if hardware.blackwell else 1.0)
    weights = (load.dense_bytes + load.head_bytes) / (bandwidth * e.weights)
    fixed = e.step_s + load.layers * e.layer_s + load.routed_layers * e.routed_layer_s
    fixed += load.recurrent_layers * e.recurrent_layer_s
    moved = _moved_s(load, hardware, 1, e)
    window = load.window_tokens * load.windowed_bytes + 2 * load.state_bytes
    split = kernels * (1 + e.split_prompt * math.log2(load.gpus))
    token = prompt_token_s(load, hardware, e)
    scores = hardware.flops["fp16"] * e.attention
    return StepTimes(
        step_s=fixed + _exchange_s(load, hardware, 0, e),
        read_s=weights * kernels * (1 + e.split_read * math.log2(load.gpus)),
        token_s=split * (token + load.window_tokens * load.windowed_flops / scores) + moved,
        sequence_s=e.sequence_s + window * kernels / (bandwidth * e.cache),
        experts_s=load.expert_bytes * kernels / (bandwidth * e.experts),
        expert_share=load.expert_share,
        cache_token_s=load.cache_bytes * kernels / (bandwidth * e.cache),
        attention_s=split * load.attention_flops / scores,
        prompt_s=max(0.0, _launches_s(load, e) - fixed),
        arrival_s=e.arrival_s,
    )
