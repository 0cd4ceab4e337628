"""How fast llama.cpp answers on a CPU: memory bandwidth for decoding, arithmetic for prompts."""

from __future__ import annotations

from dataclasses import dataclass

from stoker.host import Cpu
from stoker.models import Architecture, Model
from stoker.planning.weights import WeightCount, count_weights

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
#: Cores beyond 8 add less, because they share power and cache.
_FULL_SPEED_CORES = 8
_SHARED_CORE_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class CpuSpeed:
    """Predicted rates of one request that runs alone."""

    decode_tokens_per_s: float
    prefill_tokens_per_s: float

    def first_token_s(self, prompt_tokens: int) -> float:
        """Seconds until the first token of an answer to a prompt that no cache holds."""
        return prompt_tokens / self.prefill_tokens_per_s + 1 / self.decode_tokens_per_s


def cpu_speed(cpu: Cpu, model: Model, context_tokens: int = 2048) -> CpuSpeed:
    """The speed of ``model`` on ``cpu`` with ``context_tokens`` in the cache.

    Its size and architecture must be known. Expect a factor of 1.5 either way: what else runs, and
    how many memory channels are filled, is not known.
    """
    architecture = model.architecture
    if architecture is None or model.weights_bytes is None:
        raise ValueError(f"{model.id}: size or architecture is not known")
    count = count_weights(architecture)
    kv_bytes = 2 * context_tokens * _kv_elements(architecture)
    read_bytes = model.weights_bytes * _share_read(count, architecture) + kv_bytes
    flops = 2 * _multiply_adds(count, architecture) + 2 * context_tokens * _attention_width(
        architecture
    )
    return CpuSpeed(bandwidth(cpu) / read_bytes, _flops(cpu) / flops)


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
    embedding_unread = 0 if count.tied else count.embedding
    read = float(count.total - embedding_unread)
    if (experts := architecture.experts) is not None:
        read -= count.experts * (1 - experts.experts_per_token / experts.num_experts)
    return read / count.total


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
