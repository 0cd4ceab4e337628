"""Plans for vLLM's CPU build: for users who ask for it where there is no GPU."""

from __future__ import annotations

import math

from stoker.engines.vllm.vllm_memory import VllmSettings, kv_bytes_per_token
from stoker.engines.vllm.vllm_planner import NAME
from stoker.errors import StokerError, UsageError
from stoker.host import Host
from stoker.models import Model
from stoker.planning.formatting import GIB, size
from stoker.planning.parameter_count import count_weights
from stoker.planning.quantization import precision_of
from stoker.planning.requirements import Candidate, Requirements
from stoker.planning.serving_plan import Argument, MemoryPrediction, Plan

#: As with llama.cpp: the rest is for the editor and what else runs.
_MEMORY_SHARE = 0.6
#: vLLM 0.32.0 serving SmolLM2 (269 MB) with 1 GiB of KV cache held 3.4 GiB, measured.
_OVERHEAD_BYTES = int(2.2 * GIB)
#: Weights that its kernels for x86 multiply:
#: https://docs.vllm.ai/en/latest/features/quantization/
_FORMATS = ("bf16", "fp16", "awq", "gptq", "int8")
_CONTEXT, _PARALLEL = 8192, 2
#: The KV cache is handed out in blocks (the CPU platform's default size in vLLM 0.32.0), and one
#: block is never used: the null block that padded slots point at (BlockPool).
_BLOCK_TOKENS, _NULL_BLOCKS = 128, 1


def plan_vllm_cpu(host: Host, candidate: Candidate, requirements: Requirements) -> Plan:
    """vLLM without a GPU. Raises ``StokerError`` where the model does not fit in memory.

    The KV cache holds every parallel request at its full context: there is no more than that to
    gain, and main memory is shared with everything else.
    """
    model = candidate.model
    context = _context(model, requirements.context)
    parallel = requirements.parallel or _PARALLEL
    blocks = parallel * math.ceil(context / _BLOCK_TOKENS) + _NULL_BLOCKS
    memory = _memory(host, model, blocks * _BLOCK_TOKENS)
    if memory.total_bytes > memory.budget_bytes:
        raise StokerError(
            f"{model.id} does not fit in memory for vLLM on the CPU.",
            f"It needs {size(memory.total_bytes)} and Stoker may use {size(memory.budget_bytes)}.",
            "Ask for a shorter context with --context, or take a GGUF model with llama.cpp.",
        )
    return Plan(
        model=model,
        engine=NAME,
        max_model_len=context,
        parallel=parallel,
        arguments=(
            Argument("max_model_len", context, _context_reason(model, requirements.context)),
            Argument("max_num_seqs", parallel, f"{parallel} requests share the processor."),
            Argument(
                "kv_cache_memory_bytes",
                memory.kv_cache_bytes,
                f"{size(memory.kv_cache_bytes)}: {parallel} requests of {context:,} tokens.",
            ),
            Argument(
                "enable_prefix_caching", True, "An agent's next turn repeats most of the last."
            ),
        ),
        memory=memory,
        reasons=(
            f"vLLM runs {model.id} on the CPU, as asked for: {size(memory.total_bytes)} of the "
            f"{size(memory.budget_bytes)} that Stoker may use.",
            "llama.cpp with a quantized GGUF model answers several times faster here.",
        ),
        usable=False,
    )


def _context(model: Model, wanted: int | None) -> int:
    longest = model.max_context_tokens
    if wanted is not None and longest is not None and wanted > longest:
        raise UsageError(
            f"A context of {wanted:,} tokens is more than {model.id} was made for.",
            f"Its longest is {longest:,}.",
            f"Use --context {longest} or less.",
        )
    return wanted or min(longest or _CONTEXT, _CONTEXT)


def _context_reason(model: Model, wanted: int | None) -> str:
    if wanted is not None:
        return "As asked for."
    return f"Enough for a chat with a file; {model.id} was made for {model.max_context_tokens:,}."


def _memory(host: Host, model: Model, tokens: int) -> MemoryPrediction:
    if model.architecture is None:
        raise StokerError(
            f"How much memory {model.id} needs is not known.",
            "Its config.json is missing.",
            "Give a folder with config.json and safetensors files.",
        )
    precision = precision_of(model.quantization, model.architecture)
    if precision.name not in _FORMATS:
        raise StokerError(
            f"vLLM can't run {model.id} on the CPU.",
            f"Its weights are {precision.name}; there it runs {', '.join(_FORMATS)}.",
            "Choose another quantization of the model, or --engine llama.cpp.",
        )
    cache = kv_bytes_per_token(model.architecture, VllmSettings(max_model_len=tokens))
    return MemoryPrediction(
        weights_bytes=model.weights_bytes
        or int(precision.weight_bytes(count_weights(model.architecture))),
        kv_cache_bytes=int(cache * tokens),
        overhead_bytes=_OVERHEAD_BYTES,
        budget_bytes=int(_MEMORY_SHARE * host.memory.available_bytes),
    )
