"""Where vLLM's memory goes on one GPU, counted as the version that will run counts it.

The sources of 0.32 are followed step by step, so that what is predicted is what its log prints:
``request_memory`` (vllm/v1/worker/utils.py), ``determine_available_memory``
(vllm/v1/worker/gpu_worker.py), ``memory_profiling`` (vllm/utils/mem_utils.py), the groups of
``get_kv_cache_groups`` and the capacity of ``get_kv_cache_capacity``
(vllm/v1/core/kv_cache_utils.py), the pages of ``KVCacheSpec`` (vllm/v1/kv_cache_interface.py), and
the alignment of recurrent pages (vllm/platforms/interface.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stoker.errors import UsageError
from stoker.models import Architecture, AttentionLayers, Experts, RecurrentLayers
from stoker.planning.formatting import GIB, MIB
from stoker.planning.parameter_count import count_weights
from stoker.planning.quantization import Precision

#: ``CacheConfig.gpu_memory_utilization``: 0.92 since 0.20 (vllm/config/cache.py).
DEFAULT_UTILIZATION = 0.92
#: The minor version of vLLM 0.x that Stoker starts (``vllm_launch.VERSION``).
PLANNED_MINOR = 32
#: From this minor version on, CUDA graphs are part of the budget; before they came on top of it.
_GRAPHS_IN_BUDGET_FROM = 21
#: From 0.26 on, a window keeps room for every batch that is scheduled and not yet done: one for
#: each stage, and one ahead (``VllmConfig.max_in_flight_tokens``, pull request 47728).
_ALL_IN_FLIGHT_FROM = 26
#: Up to 0.26, prefix caching keeps a state of Mamba 2 for each block of the sequence (cache mode
#: "all"): 68.2 requests were logged where two states each would have made 235. 0.28 keeps the last
#: ones ("align", issue 54504). What 0.27 does is not known, so it is planned for as the larger.
_ALL_STATES_UNTIL = 27
_BLOCK_TOKENS = 16
#: DeepSeek V4.1's entries have 8 bits whatever is asked for, except for 64 rotated values of 16; 7
#: scales and a byte of padding follow: 584 bytes for 512 values. The indexer's key has a scale of
#: 32 bits: 132 for 128 (vllm/models/deepseek_v41/attention.py; Blackwell servers take 528 for 584).
_PACKED_KEY_BYTES, _PACKED_INDEX_BYTES = 72, 4
_CACHE_BYTES = {"auto": 2, "bfloat16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
_STATE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

#: What the driver keeps of the total that it reports before CUDA sees it, in the mean of nine
#: published pairs of nvidia-smi's total and torch's, in MiB: RTX 3090 24,576 and 24,248, RTX 4090
#: 24,564 and 24,207, RTX 5090 32,607 and 32,123, A10 23,028 and 22,518, L40 46,068 and 45,466,
#: A100 40,960 and 40,509, A100 81,920 and 81,152, H100 81,559 and 81,080, H200 143,771 and 143,165.
_DRIVER_BYTES, _DRIVER_SHARE = 350 * MIB, 0.003
#: cuBLAS and attention workspaces that torch does not see: 0.10 to 0.35 GiB in the logs of
#: ``measured_memory.csv``.
_NON_TORCH_BYTES = int(0.15 * GIB)
#: Custom all-reduce buffers and NCCL channels that open while the profile run communicates.
_COMMUNICATION_BYTES = int(0.2 * GIB)
#: Copies of the logits in 32 bits that the profiled sampler holds at once: logits, probabilities
#: and the sorted ones.
_LOGIT_COPIES = 3
#: Values of the residual stream's width that a token holds at once: residual, normed input, output.
#: With gate, up and their product this is what Llama-3.1-8B was logged to take: 2.99 GiB for 29,000
#: tokens.
_HIDDEN_COPIES = 3
#: Latent attention unpacks what it read in earlier steps in pieces of so many tokens at most: 8
#: requests of full length, and not less than four blocks for each sequence
#: (``determine_chunked_prefill_workspace_size``, vllm/model_executor/layers/attention/
#: mla_attention.py). The profile run allocates such a piece.
_UNPACKED_TOKENS = 65_536
#: What Marlin's repacking of MXFP4 experts leaves behind, as a share of them: gpt-oss-120b took
#: 65.97 GiB of an H100 and left -2.14 GiB at 0.90, whatever ``max_num_batched_tokens`` was
#: (vllm-project/vllm issues 23278 and 27508).
_REPACKED_SHARE = 0.07
#: An encoder for images: 0.46 G parameters in Qwen3.5 to 0.55 G in Gemma 4, in 16 bits.
_VISION_WEIGHT_BYTES = int(1.0e9)
#: The vision encoder's profile run, which vLLM does unless images are switched off.
_VISION_BYTES = int(0.5 * GIB)
#: Graphs: 0.09 to 0.65 GiB in the logs, without a pattern in the number of captured sizes.
_GRAPH_BYTES = int(0.3 * GIB)
_GRAPH_BYTES_PER_LAYER = 3 * MIB
#: What a gated delta layer holds on top for each captured size: Qwen3.5-27B, which has 48 such
#: layers, took 1.19 GiB for 35 sizes (0.26 on an H200), and 0.45 GiB for three (an RTX 3090).
_GRAPH_BYTES_PER_DELTA_LAYER = int(0.43 * MIB)
#: ``_set_cudagraph_sizes``: sizes reach twice the sequences' tokens, and at most this many.
_LARGEST_GRAPH_TOKENS = 512


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """The arguments of vLLM that decide its memory, by their names."""

    max_model_len: int
    gpu_memory_utilization: float = DEFAULT_UTILIZATION
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    tensor_parallel_size: int = 1
    #: Groups of GPUs that each hold a part of the layers.
    pipeline_parallel_size: int = 1
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    enable_prefix_caching: bool = True
    num_speculative_tokens: int = 0
    #: The model takes images and they were not switched off.
    vision: bool = False
    #: What this machine was measured to take beyond the prediction.
    measured_bytes: int = 0
    #: Tables of n-gram embeddings are on the GPUs, not locked in main memory as vLLM's default is
    #: (``EngramConfig.cpu_offload``, 0.32).
    ngram_on_gpus: bool = False
    #: The minor version of vLLM 0.x that is to run: each counts in its own way.
    minor_version: int = PLANNED_MINOR

    @property
    def max_in_flight_tokens(self) -> int:
        """Tokens that may be scheduled and not yet done, as a cache of windows reserves for."""
        if self.minor_version < _ALL_IN_FLIGHT_FROM:
            return self.max_num_batched_tokens
        return (self.pipeline_parallel_size + 1) * self.max_num_batched_tokens


@dataclass(frozen=True, slots=True)
class VllmMemory:
    """One GPU's memory under one setting, in bytes, and what its cache then holds."""

    total_bytes: int
    budget_bytes: int
    weights_bytes: int
    activation_bytes: int
    graphs_bytes: int
    #: What is left for the cache: negative where nothing is.
    kv_cache_bytes: int
    #: Tokens that the cache holds, as vLLM's log counts them: concurrency x ``max_model_len``.
    kv_cache_tokens: int
    #: Requests of ``max_model_len`` that it holds at once.
    max_concurrency: float

    @property
    def fits(self) -> bool:
        """vLLM would start: one request of ``max_model_len`` has room."""
        return self.max_concurrency >= 1


def visible_bytes(driver_total_bytes: int) -> int:
    """What CUDA reports as the total where the driver reports ``driver_total_bytes``."""
    return int(driver_total_bytes * (1 - _DRIVER_SHARE)) - _DRIVER_BYTES


def check_tensor_parallel(architecture: Architecture, tensor_parallel_size: int) -> None:
    """Raise ``UsageError`` where the model cannot be divided among this many GPUs.

    vLLM divides the query heads evenly (``ModelConfig.verify_with_parallel_config``).
    """
    heads = architecture.num_attention_heads
    if tensor_parallel_size < 1 or heads % tensor_parallel_size:
        possible = [n for n in (1, 2, 4, 8, 16) if heads % n == 0]
        raise UsageError(
            f"A model with {heads} attention heads cannot be divided among "
            f"{tensor_parallel_size} GPUs.",
            "Tensor parallelism gives each GPU the same number of heads.",
            f"Use {', '.join(map(str, possible))} GPUs.",
        )


def weights_per_gpu(
    architecture: Architecture,
    precision: Precision,
    settings: VllmSettings,
    known_bytes: int | None = None,
) -> int:
    """Bytes of weights on one GPU. ``known_bytes``: the size of the files, where it is known."""
    gpus = settings.tensor_parallel_size * settings.pipeline_parallel_size
    count = count_weights(architecture)
    elsewhere = 0.0 if settings.ngram_on_gpus else count.ngram_embedding * precision.ngram_bits / 8
    if known_bytes is not None:
        return int((known_bytes - elsewhere) / gpus)
    total = precision.weight_bytes(count) - elsewhere
    if precision.name == "mxfp4" and architecture.experts is not None:
        padded = _padding(architecture, architecture.experts, settings.tensor_parallel_size)
        total += (padded - 1) * count.experts * precision.expert_bits / 8
    if settings.vision and is_multimodal(architecture):
        total += _VISION_WEIGHT_BYTES
    return int(total / gpus)


def ngram_host_bytes(architecture: Architecture, precision: Precision, gpus: int) -> int:
    """Main memory that is locked for the tables of n-gram embeddings of a model on ``gpus`` GPUs.

    Each GPU's process has a part of each table, and PyTorch rounds it up to a power of two
    (``CachingHostAllocatorImpl::allocate``): 65 GB were seen on two GPUs for a table of 51.2 GB
    (https://github.com/SirTificate/qwen3.8-flash-next-nvfp4-2x-rtx-pro-6000).
    """
    parts = (table * precision.ngram_bits / 8 / gpus for table in architecture.ngram_tables)
    return sum(gpus * 2 ** math.ceil(math.log2(part)) for part in parts)


def is_multimodal(architecture: Architecture) -> bool:
    """Whether the checkpoint carries an encoder for images beside the language model."""
    return (architecture.class_name or "").endswith("ForConditionalGeneration")


def _padding(architecture: Architecture, experts: Experts, tensor_parallel_size: int) -> float:
    """How much larger MXFP4's experts are in memory: the kernels need multiples of 128 and 256
    (vllm/model_executor/layers/quantization/mxfp4.py, Marlin)."""
    width = experts.intermediate_size / tensor_parallel_size
    padded_width = 128 * math.ceil(width / 128)
    hidden = architecture.hidden_size
    return padded_width / width * 256 * math.ceil(hidden / 256) / hidden


def vllm_memory(
    architecture: Architecture,
    precision: Precision,
    settings: VllmSettings,
    total_bytes: int,
    known_weights_bytes: int | None = None,
) -> VllmMemory:
    """The memory of one GPU that CUDA sees as ``total_bytes`` large."""
    check_tensor_parallel(architecture, settings.tensor_parallel_size)
    budget = math.ceil(total_bytes * settings.gpu_memory_utilization)
    weights = weights_per_gpu(architecture, precision, settings, known_weights_bytes)
    activation = activation_bytes(architecture, settings)
    if precision.name == "mxfp4" and architecture.experts is not None:
        gpus = settings.tensor_parallel_size * settings.pipeline_parallel_size
        experts = count_weights(architecture).experts * precision.expert_bits / 8 / gpus
        activation += int(_REPACKED_SHARE * experts)
    activation += settings.measured_bytes
    graphs = graph_bytes(architecture, settings)
    free = (
        budget
        - weights
        - activation
        - (graphs if settings.minor_version >= _GRAPHS_IN_BUDGET_FROM else 0)
    )
    concurrency = max_concurrency(architecture, settings, free)
    return VllmMemory(
        total_bytes=total_bytes,
        budget_bytes=budget,
        weights_bytes=weights,
        activation_bytes=activation,
        graphs_bytes=graphs,
        kv_cache_bytes=free,
        kv_cache_tokens=int(concurrency * settings.max_model_len),
        max_concurrency=concurrency,
    )


def activation_bytes(architecture: Architecture, settings: VllmSettings) -> int:
    """The peak of the profile run, and what is allocated outside torch meanwhile.

    The profile run passes ``max_num_batched_tokens`` through the layers and then samples for
    ``max_num_seqs`` sequences; the larger of the two decides.
    """
    tp = settings.tensor_parallel_size
    per_token = 2 * (_HIDDEN_COPIES * architecture.hidden_size + _widest_layer(architecture) / tp)
    forward = settings.max_num_batched_tokens * per_token
    rows = min(settings.max_num_seqs, settings.max_num_batched_tokens)
    sampler = rows * architecture.vocab_size * 4 * _LOGIT_COPIES
    alone = tp * settings.pipeline_parallel_size == 1
    communication = 0 if alone else _COMMUNICATION_BYTES
    vision = _VISION_BYTES if settings.vision else 0
    forward += _unpacked_bytes(architecture, settings)
    return int(max(forward, sampler) + _NON_TORCH_BYTES + communication + vision)


def _unpacked_bytes(architecture: Architecture, settings: VllmSettings) -> float:
    """Keys and values of one piece of the tokens before a prompt's next part, for MLA.

    GLM-4.7-Flash, 20 heads of 192 + 256 values, took 1.88 GiB on an H200 (0.26) where its layers
    alone need 0.72.
    """
    heads, raw = architecture.num_attention_heads, architecture.raw
    nope, value = raw.get("qk_nope_head_dim"), raw.get("v_head_dim")
    if not isinstance(nope, int) or not isinstance(value, int):
        return 0.0
    blocks = settings.max_num_seqs * _BLOCK_TOKENS
    tokens = min(max(8 * settings.max_model_len, 4 * blocks), _UNPACKED_TOKENS)
    width = heads / settings.tensor_parallel_size * (nope + value)
    return 2 * max(tokens, blocks) * width


def _widest_layer(architecture: Architecture) -> float:
    """Values that the widest layer holds for a token: gate, up and their product."""
    dense = 3 * (architecture.intermediate_size or 0) if architecture.num_dense_layers else 0
    routed = 0
    if (experts := architecture.experts) is not None:
        used = experts.experts_per_token
        routed = used * (3 * experts.intermediate_size + architecture.hidden_size)
        routed += 3 * experts.shared_intermediate_size
    recurrent = max((_recurrent_width(group) for group in architecture.recurrent), default=0)
    return max(dense, routed, recurrent)


def _recurrent_width(group: RecurrentLayers) -> float:
    """Values for a token in a recurrent layer: its inputs twice in 32 bits, and a state for each
    chunk of 64 tokens (flash-linear-attention's chunked kernels)."""
    return 4 * group.conv_elements + group.state_elements / 64


def graph_bytes(architecture: Architecture, settings: VllmSettings) -> int:
    """What the captured CUDA graphs hold."""
    if settings.enforce_eager:
        return 0
    delta_layers = sum(g.num_layers for g in architecture.recurrent if g.kind == "gated_delta")
    layers = architecture.num_layers * _GRAPH_BYTES_PER_LAYER
    delta = delta_layers * _GRAPH_BYTES_PER_DELTA_LAYER * _captured_sizes(settings)
    return _GRAPH_BYTES + layers + delta // settings.tensor_parallel_size


def _captured_sizes(settings: VllmSettings) -> int:
    """How many batch sizes are captured: 1, 2, 4, then by 8 up to 256 and by 16 from there on.

    A sequence's guesses are checked together with its next token, so they widen a batch. Twice as
    many tokens on a datacenter's Blackwell are left out: nothing was measured there.
    """
    tokens = settings.max_num_seqs * (1 + settings.num_speculative_tokens)
    largest = min(2 * tokens, _LARGEST_GRAPH_TOKENS)
    small = sum(size <= largest for size in (1, 2, 4))
    return small + len(range(8, min(largest + 1, 256), 8)) + len(range(256, largest + 1, 16))


# --- the cache -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Class:
    """Layers that vLLM gives pages of one kind: how many, and what a page holds."""

    num_layers: int
    #: Bytes of one token in one layer; 0 for recurrent layers.
    token_bytes: float
    #: Bytes of one sequence's state in one layer; 0 for attention.
    state_bytes: float
    window_tokens: int | None = None
    chunk: bool = False
    #: A state is kept for each block of the sequence, not only the last ones.
    keeps_all_states: bool = False


def kv_bytes_per_token(architecture: Architecture, settings: VllmSettings) -> float:
    """Bytes on one GPU for one more token of a long sequence."""
    return sum(
        group.num_layers * _entry_bytes(architecture, group, settings) / group.compress_ratio
        for group in architecture.attention
        if group.kind not in ("sliding", "chunked")
    )


def state_bytes_per_sequence(architecture: Architecture, settings: VllmSettings) -> float:
    """Bytes on one GPU of the recurrent states of one sequence."""
    return sum(
        group.num_layers * _state_bytes(group, settings.tensor_parallel_size)
        for group in architecture.recurrent
    )


def max_concurrency(
    architecture: Architecture,
    settings: VllmSettings,
    cache_bytes: float,
    tokens: int | None = None,
) -> float:
    """How many requests of ``tokens`` a cache of ``cache_bytes`` holds; ``max_model_len`` each
    where no length is given."""
    if cache_bytes <= 0:
        return 0.0
    length = tokens or settings.max_model_len
    if any(group.kind == "compressed" for group in architecture.attention):
        return cache_bytes / _compressed_request_bytes(architecture, settings, length)
    classes = _classes(architecture, settings)
    if not classes:
        return 0.0
    page = _page_bytes(classes)
    group_size = _group_size([c.num_layers for c in classes])
    blocks = cache_bytes // (group_size * page)
    block_tokens = _block_tokens(classes, page)
    needed = sum(
        math.ceil(c.num_layers / group_size)
        * _blocks_per_request(c, page, block_tokens, settings, length)
        for c in classes
    )
    # One block stays unused: the null block that padded slots point at (BlockPool).
    return max(0.0, blocks - 1) / needed


def longest_context(
    architecture: Architecture, settings: VllmSettings, cache_bytes: float, limit: int
) -> int:
    """The longest ``max_model_len`` up to ``limit`` of which one request fits, 0 where none."""
    low, high = 0, limit if cache_bytes > 0 else 0
    while low < high:
        middle = (low + high + 1) // 2
        if max_concurrency(architecture, settings, cache_bytes, middle) >= 1:
            low = middle
        else:
            high = middle - 1
    return low


def _token_bytes(group: AttentionLayers, settings: VllmSettings) -> float:
    element = _CACHE_BYTES[settings.kv_cache_dtype]
    if group.kind in ("latent", "compressed"):
        return group.kv_elements_per_token * element
    heads = max(1, math.ceil(group.num_kv_heads / settings.tensor_parallel_size))
    # The indexer's keys stay in 16 bits, whole on each GPU (``QSACompressedKeyCache``).
    return heads * (group.key_dim + group.value_dim) * element + 2 * group.index_dim


def _entry_bytes(
    architecture: Architecture, group: AttentionLayers, settings: VllmSettings
) -> float:
    """Bytes on one GPU of one entry in a layer's cache.

    DeepSeek V4's have as many as V4.1's, but beside them each request reserves states of its
    compressors in blocks of 4 tokens (issue 54703), which V4.1 does not. Entries in 16 bits stand
    for both: 968,000 tokens where 1,009,661 were logged (issue 51041).
    """
    if not architecture.raw.get("kv_source_layer_ids"):
        return _token_bytes(group, settings)
    index = group.index_dim + _PACKED_INDEX_BYTES if group.index_dim else 0
    return group.key_dim + _PACKED_KEY_BYTES + index


def _state_bytes(group: RecurrentLayers, tp: int) -> float:
    state = _STATE_BYTES.get(group.state_dtype or "", 2) * group.state_elements
    return (state + 2 * group.conv_elements) / tp


def _classes(architecture: Architecture, settings: VllmSettings) -> list[_Class]:
    extra = architecture.num_mtp_layers if settings.num_speculative_tokens else 0
    classes = []
    for group in architecture.attention:
        added = extra if group.kind in ("full", "latent") else 0
        classes.append(
            _Class(
                math.ceil((group.num_layers + added) / settings.pipeline_parallel_size),
                _token_bytes(group, settings),
                0.0,
                group.window_tokens if group.kind in ("sliding", "chunked") else None,
                group.kind == "chunked",
            )
        )
    for recurrent in architecture.recurrent:
        state = _state_bytes(recurrent, settings.tensor_parallel_size)
        layers = math.ceil(recurrent.num_layers / settings.pipeline_parallel_size)
        keeps_all = recurrent.kind == "mamba2" and _keeps_all_states(settings)
        classes.append(_Class(layers, 0.0, state, keeps_all_states=keeps_all))
    return classes


def _page_bytes(classes: list[_Class]) -> float:
    """The page that all layers share: the largest, with recurrent states rounded up to blocks."""
    attending = [c.token_bytes for c in classes if c.token_bytes]
    page = _BLOCK_TOKENS * max(attending, default=0.0)
    states = max((c.state_bytes for c in classes), default=0.0)
    if not page:
        return states
    return page * max(1, math.ceil(states / page))


def _block_tokens(classes: list[_Class], page: float) -> int:
    """Tokens of the widest attention's page, which is also how often a state is kept."""
    widest = max((c.token_bytes for c in classes), default=0.0)
    return int(page // widest) if widest else _BLOCK_TOKENS


def _keeps_all_states(settings: VllmSettings) -> bool:
    return settings.enable_prefix_caching and settings.minor_version <= _ALL_STATES_UNTIL


def _group_size(layers: list[int]) -> int:
    """``_get_kv_cache_groups_uniform_page_size``: the smallest class, unless all are near."""
    smallest, largest = min(layers), max(layers)
    return largest if largest < 1.5 * smallest else smallest


def _blocks_per_request(
    c: _Class, page: float, block_tokens: int, settings: VllmSettings, length: int
) -> int:
    if c.keeps_all_states:
        return math.ceil(length / block_tokens)
    if not c.token_bytes:
        # With prefix caching a recurrent state is kept at a block's edge beside the running one.
        resident = 2 if settings.enable_prefix_caching else 1
        return resident + settings.num_speculative_tokens
    block = max(1, int(page // c.token_bytes))
    if c.window_tokens is None:
        return math.ceil(length / block)
    in_flight = settings.max_in_flight_tokens
    if c.chunk:
        return math.ceil(min(c.window_tokens + in_flight, length) / block)
    return math.ceil(min(c.window_tokens - 1 + in_flight, length) / block) + 1


def _compressed_request_bytes(
    architecture: Architecture, settings: VllmSettings, length: int
) -> float:
    """DeepSeek V4: each layer's window, and one entry for ``compress_ratio`` tokens."""
    total = 0.0
    for group in architecture.attention:
        window = min(length, (group.window_tokens or 0) + settings.max_in_flight_tokens)
        entries = length / group.compress_ratio if group.kind == "compressed" else 0
        each = _entry_bytes(architecture, group, settings)
        total += group.num_layers * each * (window + entries)
    return total / settings.pipeline_parallel_size
