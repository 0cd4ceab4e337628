"""Time to first token and time per token of vLLM on GPUs: bytes moved and operations done.

A decode step reads the weights that its batch needs and the cache of every sequence in it; a
prompt costs two operations for each weight it passes through, and attention on top. Between the
layers, GPUs exchange activations, and every kernel costs its launch, which the CPU does while the
GPU works: of a step outside CUDA graphs the slower of the two counts. What the hardware reaches of
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
from typing import TYPE_CHECKING

from stoker.data.facts import load_table
from stoker.engines.vllm.vllm_memory import (
    VllmSettings,
    kv_bytes_per_token,
    state_bytes_per_sequence,
)
from stoker.host import GpuSpec
from stoker.models import Architecture, AttentionLayers
from stoker.planning.draft_use import DraftCost
from stoker.planning.parameter_count import count_weights
from stoker.planning.quantization import Precision, precision_of
from stoker.planning.serving_plan import Interval, Plan, Speed, Traffic
from stoker.planning.step_arithmetic import slower, touched_share

if TYPE_CHECKING:  # only what sizes a fleet simulates one
    from stoker.sizing import StepTimes, VllmReplica

#: Data-centre cards with less have GDDR: L40S 864 GB/s, A10 600, L4 300; A100 1555 and more.
_LEAST_HBM_BYTES_S = 1.2e12
#: What vLLM reaches on AMD's GPUs outside data centres of what NVIDIA's of the same bandwidth do:
#: Qwen3.6-35B-A3B in AWQ on a Strix Halo, 20 to 25 tokens/s (kyuz0/amd-strix-halo-vllm-toolboxes,
#: issue 42), as its experts have no kernel of their own there (issue 72). One model on one GPU.
_RADEON_SHARE = 0.33
#: GPUs without NVLink exchange data over PCIe: bytes a second in one direction, 16 lanes.
_PCIE_BYTES_S = {"3.0": 12e9, "4.0": 24e9, "5.0": 48e9, "6.0": 48e9}
#: Steps of up to so many tokens are captured as CUDA graphs (`max_cudagraph_capture_size`).
LARGEST_GRAPH_TOKENS = 512
#: The block that vLLM keeps for itself beside those for requests.
_OWN_BLOCK_TOKENS = 16
#: What a request pays for each token of its prompt, cached or not: finding the tokens of its text
#: 2.3 us, the detokenizer, which decodes the whole prompt with the first token of the answer, 0.6,
#: and copies and hashes 0.1. Measured with Qwen2.5's tokenizer and vLLM 0.32's own parts on a core
#: of an EPYC (``benchmarks/prompt_arrival.py``).
_ARRIVAL_TOKEN_S = 3e-6
#: Rows that are multiplied in vain for each expert of a step: its tokens are padded to whole tiles,
#: half of one in the mean. Most are of 64 rows (``get_default_config`` in vLLM's ``fused_moe.py``:
#: 16 for few tokens, 128 for many in 16 bits).
_PADDED_ROWS = 32
#: Decode steps that a prompt waits for: half of the one that runs when it comes, and the one after,
#: which asynchronous scheduling (vLLM's default) has planned by then.
_STEPS_WAITED = 1.5
#: Prompt tokens that touch nearly every expert.
_MANY_TOKENS = 1024
#: How likely the next token is what the model's own extra layer guessed. With the costs below it
#: gives what was published for Qwen3.8-27B in FP8 on an RTX PRO 6000: 53 tokens/s, and 78 with
#: three guesses.
_ACCEPTANCE = 0.54
#: What a step of one request is taken to read of the cache where the cost of drafts is asked for: a
#: prompt of agent mode (``requirements.NEEDS``).
_DRAFT_CONTEXT = 20_000


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What hardware and vLLM reach of the peak rates; every time is in seconds."""

    #: Share of the peak bandwidth when reading weights, weights of 4 bits that a Blackwell server
    #: multiplies as such (Llama-3.1-70B on a B200), experts that are multiplied in 8 bits or less,
    #: and the cache. Other experts are read as the weights are: measured with bf16 on an H200.
    weights: float = 0.85
    fp4_weights: float = 0.7
    experts: float = 0.6
    cache: float = 0.8
    #: Experts on Blackwell servers, whose kernels are others (FlashInfer in place of Triton).
    blackwell_experts: float = 0.9
    #: Bytes a second of weights that are widened (Marlin), of experts and of others, however fast
    #: the memory is: gpt-oss-120b takes the same time on an H100 and on an H200, Kimi K2.5 in int4
    #: on an H200 and on a B200, and an H200 reads Qwen2.5-Coder-32B in AWQ at 2.0 TB/s.
    widened_experts_bytes_s: float = 2.5e12
    widened_bytes_s: float = 2.0e12
    #: How evenly tokens choose experts: the shape of the beta distribution of an expert's share. A
    #: batch touches fewer experts than with equal shares, which are an infinite one.
    spread: float = 2.0
    #: Share of the peak rate in prompts, by the type of the arithmetic.
    fp16: float = 0.65
    fp8: float = 0.6
    fp4: float = 0.3
    #: Weights of 4 bits that are widened to 16 first (Marlin).
    widened: float = 0.5
    #: The same for routed experts, as factors: their matrices are small. Those of 8 bits have a
    #: scale for each block, and those that are multiplied in 4 bits other kernels (FlashInfer).
    routed: float = 0.4
    routed_fp8: float = 0.26
    routed_fp4: float = 0.5
    attention: float = 0.5
    #: All of these on Blackwell, as a factor, but for fp4, which only it has: less of its doubled
    #: rates is reached.
    blackwell: float = 0.85
    #: One decode step: its own cost, that of a layer, of a routed layer and of a sequence.
    step_s: float = 0.4e-3
    layer_s: float = 30e-6
    routed_layer_s: float = 20e-6
    #: A layer whose activations are narrowed to the type of its weights, in kernels of their own.
    narrowed_layer_s: float = 10e-6
    sequence_s: float = 8e-6
    #: One exchange among two GPUs: its latency, and the share of the link's rate.
    exchange_s: float = 7e-6
    link: float = 0.7
    pcie_exchange_s: float = 12e-6
    #: The same share on Blackwell, as a factor.
    blackwell_link: float = 0.7
    #: What a request pays before its prompt is read: HTTP, scheduling, the way back.
    arrival_s: float = 14e-3
    #: The launches of a layer, and of a routed or a recurrent layer on top, for a prompt that is
    #: too long for a CUDA graph.
    prompt_layer_s: float = 450e-6
    routed_prompt_layer_s: float = 600e-6
    recurrent_prompt_layer_s: float = 2.5e-3
    #: How many others' prompts a request waits for, for each other sequence. A closed loop that
    #: sends all requests at once and runs ten generations of them, as InferenceMAX does, has 0.05
    #: from the first alone.
    queue_each: float = 0.06
    #: Cards with GDDR: how much nearer to their peak bandwidth they come, and what a launch costs
    #: there, as factors: their clocks are higher.
    consumer: float = 1.25
    consumer_launch: float = 0.75
    #: How much less of the peak rates the smaller matrices of a group of GPUs reach, for each
    #: doubling of their number, in decoding and in prompts; whole experts are as before.
    split: float = 0.07


@dataclass(frozen=True, slots=True)
class Hardware:
    """The rates of one kind of GPU, per GPU."""

    bandwidth_bytes_s: float
    flops: Mapping[str, float] = field(hash=False)
    link_bytes_s: float
    nvlink: bool
    #: Stacked memory, of whose peak less is reached than of GDDR's.
    hbm: bool = True
    #: Servers with Blackwell (compute capability 10), for which vLLM has kernels of their own.
    blackwell: bool = False

    @classmethod
    def of(cls, spec: GpuSpec) -> Hardware | None:
        """The rates of ``spec``, or ``None`` where its bandwidth or 16-bit rate is not known."""
        if not spec.bandwidth_bytes_per_s or not (flops := _rates(spec.flops)):
            return None
        generation, _, lanes = (spec.pcie or "4.0 x16").partition(" x")
        pcie = _PCIE_BYTES_S.get(generation, 24e9) * int(lanes or 16) / 16
        radeon = spec.vendor == "amd" and spec.kind != "datacenter"
        return cls(
            bandwidth_bytes_s=spec.bandwidth_bytes_per_s * (_RADEON_SHARE if radeon else 1.0),
            flops=flops,
            link_bytes_s=spec.nvlink_bytes_per_s / 2 if spec.nvlink_bytes_per_s else pcie,
            nvlink=bool(spec.nvlink_bytes_per_s) and spec.kind == "datacenter",
            hbm=spec.kind == "datacenter" and spec.bandwidth_bytes_per_s > _LEAST_HBM_BYTES_S,
            blackwell=(spec.compute_capability or (0, 0))[0] == 10,
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
    #: All-reduces of a layer.
    exchanges: int
    gpus: int
    #: Each GPU holds whole experts.
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
        # MiniMax M2 norms queries and keys over the heads of all GPUs.
        exchanges=3 if architecture.raw.get("qk_norm_type") == "per_layer" else 2,
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
    touched = touched_share(load.expert_share, batch, e.spread)
    reading = _weights_s(load, hardware, e) + touched * _experts_s(load, hardware, e)
    arithmetic = batch * (1 + drafts) * prompt_token_s(load, hardware, e)
    window = min(context, load.window_tokens)
    cache = batch * (context * load.cache_bytes + window * load.windowed_bytes)
    cache = (cache + 2 * batch * load.state_bytes) * _cache_byte_s(hardware, e)
    kernels = math.hypot(reading, arithmetic) + cache
    fixed = _fixed_s(load, hardware, e) + batch * e.sequence_s
    total = kernels + fixed + _exchange_s(load, hardware, batch, e)
    return total + drafts * _draft_s(load, hardware, e)


def _weights_s(load: ServingLoad, hardware: Hardware, e: Efficiency) -> float:
    """Reading what every token passes, once."""
    fp4 = _share_in("fp4", load.flops, hardware) if hardware.blackwell else 0.0
    read = ((1 - fp4) / e.weights + fp4 / e.fp4_weights) / _bandwidth(hardware, e)
    widened = _share_in("widened", load.flops, hardware) / e.widened_bytes_s
    head_s = load.head_bytes / (_bandwidth(hardware, e) * e.weights)
    return (load.dense_bytes * slower(read, widened) + head_s) * _split(load, e)


def _experts_s(load: ServingLoad, hardware: Hardware, e: Efficiency) -> float:
    """Reading all routed experts."""
    widened = _share_in("widened", load.expert_flops, hardware)
    narrowed = not widened and "fp16" not in load.expert_flops
    share = e.blackwell_experts if hardware.blackwell else e.experts if narrowed else e.weights
    read = 1 / (_bandwidth(hardware, e) * share)
    if not load.expert_parallel:
        read *= _split(load, e)
    return load.expert_bytes * slower(read, widened / e.widened_experts_bytes_s)


def _split(load: ServingLoad, e: Efficiency) -> float:
    return 1 + e.split * math.log2(load.gpus)


def _cache_byte_s(hardware: Hardware, e: Efficiency) -> float:
    return 1 / (_bandwidth(hardware, e) * e.cache)


def _fixed_s(load: ServingLoad, hardware: Hardware, e: Efficiency) -> float:
    """The launches of a decode step."""
    total = e.step_s + load.layers * e.layer_s + load.routed_layers * e.routed_layer_s
    if any(kind in hardware.flops and kind != "fp16" for kind in (*load.flops, *load.expert_flops)):
        total += load.layers * e.narrowed_layer_s
    return total if hardware.hbm else total * e.consumer_launch


def _boost(hardware: Hardware, e: Efficiency) -> float:
    return e.blackwell if hardware.blackwell else 1.0


def _share_in(multiplied: str, flops: Mapping[str, float], hardware: Hardware) -> float:
    """The part of the operations that is done in a type."""
    found = sum(n for kind, n in flops.items() if _multiplied_in(kind, hardware) == multiplied)
    return found / (sum(flops.values()) or 1.0)


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
    attention = scores / (hardware.flops["fp16"] * e.attention * _boost(hardware, e))
    return (arithmetic + attention) * _split(load, e) + _moved_s(load, hardware, new, e)


def prompt_token_s(load: ServingLoad, hardware: Hardware, e: Efficiency) -> float:
    """The arithmetic of one token in the matrices, with nothing else running."""
    dense = sum(flops / _rate(kind, hardware, e) for kind, flops in load.flops.items())
    return dense + _routed_token_s(load, hardware, e)


def _routed_token_s(load: ServingLoad, hardware: Hardware, e: Efficiency) -> float:
    return sum(
        flops / (_rate(kind, hardware, e) * _routed(kind, hardware, e))
        for kind, flops in load.expert_flops.items()
    )


def _padding_s(load: ServingLoad, hardware: Hardware, tokens: float, e: Efficiency) -> float:
    """The rows that a step with ``tokens`` of prompts multiplies in vain."""
    if not load.expert_share:
        return 0.0
    touched = touched_share(load.expert_share, tokens, e.spread) / load.expert_share
    return _PADDED_ROWS * touched * _routed_token_s(load, hardware, e) * _split(load, e)


def _rate(kind: str, hardware: Hardware, e: Efficiency) -> float:
    """Operations a second that are reached in a type."""
    kind = _multiplied_in(kind, hardware)
    if kind == "fp4":
        return hardware.flops[kind] * e.fp4
    if kind == "widened":
        return hardware.flops["fp16"] * e.widened * _boost(hardware, e)
    return hardware.flops[kind] * (e.fp16 if kind == "fp16" else e.fp8) * _boost(hardware, e)


def _routed(kind: str, hardware: Hardware, e: Efficiency) -> float:
    """What experts reach of the rate of other matrices."""
    multiplied = _multiplied_in(kind, hardware)
    if multiplied in ("fp16", "widened"):
        return e.routed
    return e.routed_fp4 if kind in ("fp4", "mxfp4") else e.routed_fp8


def _multiplied_in(kind: str, hardware: Hardware) -> str:
    """The type of the arithmetic, ``widened`` where weights are brought to 16 bits first: those
    that are meant to be, and those that the GPU cannot multiply."""
    if kind == "mxfp4" and hardware.blackwell and "fp8" in hardware.flops:
        return "fp8"  # with activations of 8 bits
    return kind if kind in hardware.flops else "widened"


@dataclass(frozen=True, slots=True)
class Limits:
    """What vLLM lets run at once."""

    #: Prompt tokens of one step.
    max_num_batched_tokens: int = 8192
    #: Requests that the cache holds, each with half of its answer; those beyond them wait until
    #: others end.
    requests: float = math.inf
    #: Tokens of the largest step that runs as a CUDA graph.
    max_cudagraph_capture_size: int = LARGEST_GRAPH_TOKENS


def times(
    load: ServingLoad,
    hardware: Hardware,
    traffic: Traffic,
    e: Efficiency,
    drafts: int = 0,
    limits: Limits | None = None,
) -> tuple[float, float, float]:
    """Seconds to the first token, for each further token, and for a prompt that runs alone.

    An answer is interrupted by the prompts of other requests, as vLLM runs prompts between decode
    steps. With as many starts as ends, each other sequence starts once in the time of a whole
    request, of which the writing of the answer is a part. A prompt waits for those before it, which
    share the steps of the running answers: as many of them a step as its tokens hold.

    Prompts that a step reads together share its launches, and no step holds more than the answers
    have tokens.
    """
    limits = limits or Limits()
    batch, prompt = min(traffic.concurrency, max(1.0, limits.requests)), traffic.prompt_tokens
    cached = traffic.prefix_hit * prompt
    added = prompt_s(load, hardware, prompt, cached, e)
    new = max(1.0, prompt - cached)
    context = prompt + traffic.answer_tokens / 2
    others = batch - 1
    step = step_s(load, hardware, batch, context, e, drafts)
    alone = _alone_s(load, hardware, new, added, new <= limits.max_cudagraph_capture_size, e)
    each = added + step * new / limits.max_num_batched_tokens
    waits = each * e.queue_each * others + (_STEPS_WAITED * step if others else 0.0)
    first = e.arrival_s + _ARRIVAL_TOKEN_S * prompt + alone + waits
    steps = traffic.answer_tokens * step / tokens_per_step(drafts)
    in_graph = new + batch <= limits.max_cudagraph_capture_size
    launched = _launched_s(load, hardware, new, step + added, in_graph, e)
    interrupted = others * added + min(others, traffic.answer_tokens) * launched
    writing = steps + interrupted
    writing = steps + interrupted * writing / (writing + first)
    queued = (traffic.concurrency - batch) / batch * (first + writing)
    return first + queued, writing / max(1, traffic.answer_tokens), alone


def _alone_s(
    load: ServingLoad,
    hardware: Hardware,
    new: float,
    added_s: float,
    in_graph: bool,
    e: Efficiency,
) -> float:
    """A step with a prompt of ``new`` tokens and nothing else: its weights are read meanwhile."""
    touched = touched_share(load.expert_share, new, e.spread)
    read_bytes = load.dense_bytes + touched * load.expert_bytes
    read = read_bytes / (_bandwidth(hardware, e) * e.weights)
    work = math.hypot(added_s + _padding_s(load, hardware, new, e), read)
    work += _exchange_s(load, hardware, 0, e) + _fixed_s(load, hardware, e)
    return work if in_graph else slower(work, _launches_s(load, e))


def _launched_s(
    load: ServingLoad, hardware: Hardware, new: float, step_s: float, in_graph: bool, e: Efficiency
) -> float:
    """What a step of ``step_s``, a prompt's work in it, takes longer: padding, and launches that
    are in no graph and that the work does not hide."""
    work = step_s + _padding_s(load, hardware, new, e)
    return (work if in_graph else slower(work, _launches_s(load, e))) - step_s


def _launches_s(load: ServingLoad, e: Efficiency) -> float:
    """The launches of a step whose prompt is too long for a graph."""
    launches = load.layers * e.prompt_layer_s + load.routed_layers * e.routed_prompt_layer_s
    return launches + load.recurrent_layers * e.recurrent_prompt_layer_s


def _bandwidth(hardware: Hardware, e: Efficiency) -> float:
    return hardware.bandwidth_bytes_s * (1.0 if hardware.hbm else e.consumer)


def _moved_s(load: ServingLoad, hardware: Hardware, tokens: float, e: Efficiency) -> float:
    if load.gpus == 1:
        return 0.0
    share = 2 * (load.gpus - 1) / load.gpus
    rate = hardware.link_bytes_s * e.link * (e.blackwell_link if hardware.blackwell else 1.0)
    return 2 * load.layers * tokens * load.hidden_bytes * share / rate


def _exchange_s(load: ServingLoad, hardware: Hardware, tokens: float, e: Efficiency) -> float:
    """All-reduces, of which two a layer move activations: a ring moves 2 (n-1)/n of them through
    each link. Each doubling of the GPUs adds half of the latency of two."""
    if load.gpus == 1:
        return 0.0
    latency = e.exchange_s if hardware.nvlink else e.pcie_exchange_s
    launched = load.exchanges * load.layers * latency * (1 + math.log2(load.gpus)) / 2
    return launched + _moved_s(load, hardware, tokens, e)


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
    load: ServingLoad,
    hardware: Hardware,
    traffic: Traffic,
    drafts: int = 0,
    limits: Limits | None = None,
) -> tuple[Speed, float]:
    """The speed under ``traffic``, and the prompt tokens a second of a prompt that runs alone.

    ``drafts``: tokens that the model's own extra layers guess ahead in each step.
    """
    efficiency, token_range, first_range = calibrated()
    first, token, alone = times(load, hardware, traffic, efficiency, drafts, limits)
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
    load, limits = _load_of_plan(plan, shape), _limits_of_plan(plan, traffic)
    return predict(load, hardware, traffic, _drafts(plan), limits)[0]


def draft_cost(plan: Plan, spec: GpuSpec, drafts: int) -> DraftCost | None:
    """What the drafts of a plan cost on ``spec``; ``None`` as for ``speed_under``."""
    hardware, shape = Hardware.of(spec), plan.model.architecture
    if plan.gpus < 1 or hardware is None or shape is None or drafts < 1:
        return None
    load, (efficiency, _, _) = _load_of_plan(plan, shape), calibrated()
    context = min(plan.max_model_len, _DRAFT_CONTEXT)
    plain, drafting = (step_s(load, hardware, 1, context, efficiency, n) for n in (0, drafts))
    return DraftCost((drafting / plain - 1) / drafts, tokens_per_step(drafts))


def _limits_of_plan(plan: Plan, traffic: Traffic) -> Limits:
    new_tokens = traffic.prompt_tokens * (1 - traffic.prefix_hit) + traffic.answer_tokens / 2
    held = (plan.max_concurrency or math.inf) * plan.max_model_len / new_tokens
    batched = int(plan.argument("max_num_batched_tokens") or 2048)
    return Limits(batched, min(held, float(plan.argument("max_num_seqs") or math.inf)))


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
    from stoker.sizing import VllmReplica  # noqa: PLC0415

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
    from stoker.sizing import StepTimes  # noqa: PLC0415

    window = load.window_tokens * load.windowed_bytes + 2 * load.state_bytes
    split = _split(load, e)
    scores = hardware.flops["fp16"] * e.attention * _boost(hardware, e)
    fixed, cache_byte_s = _fixed_s(load, hardware, e), _cache_byte_s(hardware, e)
    token = prompt_token_s(load, hardware, e) + load.window_tokens * load.windowed_flops / scores
    return StepTimes(
        step_s=fixed + _exchange_s(load, hardware, 0, e),
        read_s=_weights_s(load, hardware, e),
        token_s=split * token + _moved_s(load, hardware, 1, e),
        sequence_s=e.sequence_s + window * cache_byte_s,
        experts_s=_experts_s(load, hardware, e),
        expert_share=load.expert_share,
        expert_spread=e.spread,
        cache_token_s=load.cache_bytes * cache_byte_s,
        attention_s=split * load.attention_flops / scores,
        prompt_s=_padding_s(load, hardware, _MANY_TOKENS, e),
        launches_s=_launches_s(load, e),
        arrival_s=e.arrival_s,
        arrival_token_s=_ARRIVAL_TOKEN_S,
    )
