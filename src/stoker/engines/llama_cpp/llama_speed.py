"""How fast llama.cpp answers: memory bandwidth for decoding, arithmetic for prompts."""

from __future__ import annotations

from dataclasses import dataclass

from stoker.engines.llama_cpp.llama_memory import head_bytes, loaded_bytes
from stoker.host import Cpu, GpuSpec
from stoker.models import Architecture, Model
from stoker.planning.parameter_count import WeightCount, count_weights

#: Bytes a second that one core draws while it decodes. Measured on 2 cores of a Sapphire Rapids
#: server: 59 tokens/s of a 491 MB file = 29 GB/s.
_BYTES_PER_CORE_S = 14.5e9
#: What one channel of DDR4-3200 gives: 80 % of 25.6 GB/s (JEDEC JESD79-4). Desktops and laptops
#: have two; boards with more are met from 16 cores on, where a channel serves about 4 cores.
_CHANNEL_BYTES_S = 20.5e9
_CORES_PER_CHANNEL = 4
#: Operations a second of one core in a prompt, with AVX2 kernels. Measured on the same 2 cores:
#: 100 to 150 tokens/s with Qwen2.5-Coder-0.5B (0.36 G multiply-adds a token) and 445 with
#: SmolLM2-135M (0.11 G): 90 and 95 GFLOP/s. Without AVX2 the kernels are half as wide.
_FLOPS_PER_CORE_S = 46e9
_FLOPS_PER_CORE_S_SSE = 20e9
#: What llama.cpp reaches of a card's bandwidth, of memory that a GPU shares with the CPU, and what
#: the launches of a layer cost, dense or with experts. Fitted by hand to what its developers
#: measured (ggml-org/llama.cpp): 8B in Q4_0 on an RTX 3090, 156 tokens/s (pull 15802); 30B-A3B in
#: Q4_0 and gpt-oss-20b on an RTX 4090, 162 and 186 (pull 16834); 7B in Q4_0 on an M1 Max, 61
#: (discussion 4167); and 8B in Q8_0 on an RTX 5090, 143 (huggingface.co/csabakecskemeti). Within
#: 7 % of each but gpt-oss, whose attention is wider than its experts (17 %). Layers of experts cost
#: GPUs that share memory more: 30B-A3B in Q8_0 on an M2 Ultra, 76 (pull 15616); Qwen3.6-35B-A3B in
#: Q6_K on a Strix Halo, 40 to 46 (kyuz0/amd-strix-halo-vllm-toolboxes, issue 42).
_CARD_BANDWIDTH_SHARE, _SHARED_BANDWIDTH_SHARE = 0.85, 0.6
_DENSE_LAYER_S, _ROUTED_LAYER_S, _SHARED_ROUTED_LAYER_S = 40e-6, 90e-6, 130e-6
#: What GPU and CPU wait for each other in a layer whose experts are in main memory. Set by hand
#: between two published figures for Qwen3.6-35B-A3B in 4 bits: 34.6 tokens/s on a card of 12 GB and
#: 41 to 55 on an RTX 4060 Ti of 8 GB, whose main memories are not known.
_CPU_EXPERTS_LAYER_S = 150e-6
#: Of the matrix rate, in prompts as long as an agent's; and the most that was measured: 12,200
#: prompt tokens/s of 8B on an RTX 5090, while faster GPUs of data centres stay below that.
_GPU_FLOPS_SHARE, _GPU_FLOPS_MOST = 0.45, 170e12
#: A further request that is answered at the same time costs as much as this many prompt tokens: 8B
#: in Q4_0 on an RTX 3090 writes 156 tokens/s for one and 73 for each of eight (pull 15802).
_FURTHER_PROMPT_TOKENS = 2.4
#: PCIe 4.0 with 8 lanes, at 80 %, and the tokens that llama.cpp sends the weights for at once.
_PCIE_BYTES_S, _PROMPT_BATCH = 12.6e9, 512
#: Cores beyond 8 add less, because they share power and cache.
_FULL_SPEED_CORES = 8
_SHARED_CORE_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class LlamaSpeed:
    """Predicted rates of one request that runs alone."""

    decode_tokens_per_s: float
    prefill_tokens_per_s: float
    #: What a token takes longer for each further request that is answered at the same time.
    further_s: float
    #: Seconds of one draft by the model's multi-token-prediction head: its block and the output
    #: head are read.
    draft_s: float = 0.0

    def token_s(self, requests: int = 1) -> float:
        """Seconds for one token of each of ``requests`` that are answered at the same time."""
        return 1 / self.decode_tokens_per_s + (requests - 1) * self.further_s

    def first_token_s(self, prompt_tokens: float) -> float:
        """Seconds until the first token of an answer to a prompt that no cache holds."""
        return prompt_tokens / self.prefill_tokens_per_s + 1 / self.decode_tokens_per_s


def llama_speed(
    cpu: Cpu,
    gpu: GpuSpec | None,
    model: Model,
    gpu_share: float = 0.0,
    context_tokens: int = 2048,
    *,
    cpu_experts: float = 0.0,
) -> LlamaSpeed:
    """The speed of ``model`` with ``gpu_share`` of its layers on ``gpu`` and the rest on ``cpu``.

    ``cpu_experts``: the share of the routed experts that ``cpu`` keeps of layers on the GPU.

    Its size and architecture must be known. Expect a factor of 1.5 either way: what else runs, and
    how many memory channels are filled, is not known.
    """
    architecture = model.architecture
    if architecture is None:
        raise ValueError(f"{model.id}: its architecture is not known")
    count, weights = count_weights(architecture), loaded_bytes(model)
    kv_bytes = 2 * context_tokens * _kv_elements(architecture)
    read_bytes = weights * _share_read(count, architecture) + kv_bytes
    flops = 2 * _multiply_adds(count, architecture) + 2 * context_tokens * _attention_width(
        architecture
    )
    draft_bytes = head_bytes(model) + weights * count.embedding / count.total
    bytes_s, flops_s = bandwidth(cpu), _flops(cpu)
    # Further requests use what was read for the first, except that each has experts of its own.
    own_bytes = weights * _share_routed(count, architecture)
    if gpu is None or gpu_share <= 0:
        further_s = _FURTHER_PROMPT_TOKENS * flops / flops_s + own_bytes / bytes_s
        return LlamaSpeed(bytes_s / read_bytes, flops_s / flops, further_s, draft_bytes / bytes_s)
    bandwidth_share = _SHARED_BANDWIDTH_SHARE if gpu.unified else _CARD_BANDWIDTH_SHARE
    gpu_bytes_s = bandwidth_share * (gpu.bandwidth_bytes_per_s or bytes_s)
    gpu_flops_s = min(_GPU_FLOPS_SHARE * gpu.flops.get("fp16", 10 * flops_s), _GPU_FLOPS_MOST)
    byte_s = gpu_share / gpu_bytes_s + (1 - gpu_share) / bytes_s
    routed_byte_s = (1 - cpu_experts) * byte_s + cpu_experts / bytes_s
    # Weights that stay in main memory are sent to the GPU for each batch of a prompt.
    kept = 1 - gpu_share + cpu_experts * count.experts / count.total
    sent_s = kept * weights / _PCIE_BYTES_S / _PROMPT_BATCH
    prompt_s = flops / gpu_flops_s + sent_s
    launches_s = gpu_share * _launches_s(architecture, gpu)
    if architecture.experts is not None:
        launches_s += cpu_experts * architecture.experts.num_layers * _CPU_EXPERTS_LAYER_S
    arithmetic_s = flops * (gpu_share / gpu_flops_s + (1 - gpu_share) / flops_s)
    return LlamaSpeed(
        decode_tokens_per_s=1
        / ((read_bytes - own_bytes) * byte_s + own_bytes * routed_byte_s + launches_s),
        prefill_tokens_per_s=1 / prompt_s,
        further_s=_FURTHER_PROMPT_TOKENS * arithmetic_s + own_bytes * routed_byte_s,
        draft_s=draft_bytes * byte_s + _DENSE_LAYER_S,
    )


def _launches_s(architecture: Architecture, gpu: GpuSpec) -> float:
    routed = architecture.experts.num_layers if architecture.experts else 0
    routed_s = _SHARED_ROUTED_LAYER_S if gpu.unified else _ROUTED_LAYER_S
    return _DENSE_LAYER_S * (architecture.num_layers - routed) + routed_s * routed


def bandwidth(cpu: Cpu) -> float:
    """Bytes a second that llama.cpp is expected to read on ``cpu``."""
    channels = 2 if cpu.cores < 16 else cpu.cores // _CORES_PER_CHANNEL
    return min(cpu.cores * _BYTES_PER_CORE_S, channels * _CHANNEL_BYTES_S)


def _flops(cpu: Cpu) -> float:
    wide = cpu.avx2 or cpu.name.startswith("Apple")
    shared = max(0, cpu.cores - _FULL_SPEED_CORES)
    cores = min(cpu.cores, _FULL_SPEED_CORES) + _SHARED_CORE_SHARE * shared
    return cores * (_FLOPS_PER_CORE_S if wide else _FLOPS_PER_CORE_S_SSE)


def _share_read(count: WeightCount, architecture: Architecture) -> float:
    """The part of the file that one token reads: experts that it is not routed to stay unread."""
    # One row of an embedding is read for a token; as an output head it is read whole.
    embedding_unread = 0 if count.tied else count.embedding
    looked_up = count.per_layer_embedding + count.ngram_embedding
    read = float(count.total - embedding_unread - looked_up)
    if (experts := architecture.experts) is not None:
        read -= count.experts * (1 - experts.experts_per_token / experts.num_experts)
    return read / count.total


def _share_routed(count: WeightCount, architecture: Architecture) -> float:
    """The part of the file that holds the experts which one token is routed to."""
    experts = architecture.experts
    if experts is None:
        return 0.0
    return count.experts * experts.experts_per_token / experts.num_experts / count.total


def _multiply_adds(count: WeightCount, architecture: Architecture) -> float:
    """Multiply-adds for one prompt token: no output head, which only the last token needs."""
    routed = 0.0
    if (experts := architecture.experts) is not None:
        routed = count.experts * experts.experts_per_token / experts.num_experts
    return count.always_read + routed


def _kv_elements(architecture: Architecture) -> int:
    return sum(group.num_layers * group.kv_elements_per_token for group in architecture.attention)


def _attention_width(architecture: Architecture) -> int:
    """Multiply-adds that one prompt token spends on each token before it, halved for causality."""
    return sum(
        group.num_layers * architecture.num_attention_heads * group.key_dim
        for group in architecture.attention
    )
