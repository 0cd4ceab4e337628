"""Plans for llama.cpp on a CPU: what fits, how fast it answers, and the reason for each argument.

Arguments carry the names of ``xllamacpp.CommonParams``; a dotted name is a field of a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from stoker.errors import StokerError, UsageError
from stoker.host import Host
from stoker.models import Model
from stoker.planning.cpu_speed import CpuSpeed, cpu_speed
from stoker.planning.llama_memory import LlamaCache, llama_memory
from stoker.planning.types import Argument, MemoryPrediction, Plan
from stoker.planning.units import MIB, parameters, size

ENGINE = "llama.cpp"

#: The rest stays for the editor, a browser and the system's file cache.
_MEMORY_SHARE = 0.6
#: Reading speed: below it an answer is waited for, not read.
USABLE_DECODE_TOKENS_S = 8.0
#: A question with a file attached, and how long somebody waits for the first word of the answer.
USABLE_PROMPT_TOKENS = 2048
USABLE_FIRST_TOKEN_S = 35.0
#: Coding needs a file or two; agent mode sends 15,500 tokens before the first word (measured).
_DEFAULT_CONTEXT = 32_768
_SMALLEST_CONTEXT = 2048
#: One slot for the chat and one for the title and the progress line that VS Code asks for beside
#: it, so that those do not push the chat out of its slot.
_DEFAULT_PARALLEL = 2
_N_BATCH, _N_UBATCH = 2048, 512
#: llama.cpp's own default for conversations that lost their slot.
_MOST_PROMPT_CACHE_MIB = 8192
_FLASH_ATTENTION_ON = 1
_GGML_TYPE_F16 = 1


@dataclass(frozen=True, slots=True)
class _Fit:
    """A model with the cache that fits beside it."""

    model: Model
    cache: LlamaCache
    memory: MemoryPrediction
    speed: CpuSpeed


def is_usable(plan: Plan) -> bool:
    """Whether a person would wait for this plan's answers."""
    decode, prefill = plan.decode_tokens_per_s, plan.prefill_tokens_per_s
    if decode is None or prefill is None:
        return True
    first_token_s = USABLE_PROMPT_TOKENS / prefill + 1 / decode
    return decode >= USABLE_DECODE_TOKENS_S and first_token_s <= USABLE_FIRST_TOKEN_S


def plan_llama(
    host: Host, model: Model, *, context: int | None = None, parallel: int | None = None
) -> Plan:
    """The plan that serves ``model`` with llama.cpp on the CPU of ``host``.

    Raises ``UsageError`` where ``context`` is more than the model was made for, and
    ``StokerError`` where the model, or that context, does not fit in memory.
    """
    _check_context(model, context)
    budget = int(_MEMORY_SHARE * host.memory.available_bytes)
    fit = _Fit(model, *_largest_cache(host, model, budget, context, parallel), _speed(host, model))
    return Plan(
        model=model,
        engine=ENGINE,
        max_model_len=fit.cache.max_model_len,
        parallel=fit.cache.parallel,
        arguments=_arguments(host, fit, context),
        memory=fit.memory,
        reasons=_reasons(host, fit),
        decode_tokens_per_s=fit.speed.decode_tokens_per_s,
        prefill_tokens_per_s=fit.speed.prefill_tokens_per_s,
    )


def _speed(host: Host, model: Model) -> CpuSpeed:
    return cpu_speed(host.cpu, model)


def _check_context(model: Model, context: int | None) -> None:
    limit = model.max_context_tokens
    if context is None or limit is None or context <= limit:
        return
    raise UsageError(
        f"{model.id} cannot use a context of {context:,} tokens.",
        f"It was made for at most {limit:,}; beyond that its answers fall apart.",
        f"Ask for --context {limit} or less, or for a model with a longer context.",
    )


def _largest_cache(
    host: Host, model: Model, budget: int, context: int | None, parallel: int | None
) -> tuple[LlamaCache, MemoryPrediction]:
    """The cache as asked for, or else the longest context up to the default that fits."""
    if model.architecture is None or model.weights_bytes is None:
        raise StokerError(
            f"Nothing can be planned for {model.id}.",
            "Its size and shape are not known before it is downloaded.",
            "Give the path of its GGUF file, or name a model of the catalogue.",
        )
    longest = min(model.max_context_tokens or _DEFAULT_CONTEXT, _DEFAULT_CONTEXT)
    contexts = [context] if context else _halved(longest)
    slots = [parallel] if parallel else list(range(_DEFAULT_PARALLEL, 0, -1))
    for tokens in contexts:
        for number in slots:
            cache = LlamaCache(tokens, number, _N_UBATCH)
            memory = llama_memory(model, cache, budget)
            if memory.total_bytes <= budget:
                return cache, memory
    raise _too_large(host, model, llama_memory(model, cache, budget), cache)


def _halved(longest: int) -> list[int]:
    tokens = [longest]
    while tokens[-1] // 2 >= _SMALLEST_CONTEXT:
        tokens.append(tokens[-1] // 2)
    return tokens


def _too_large(
    host: Host, model: Model, memory: MemoryPrediction, cache: LlamaCache
) -> StokerError:
    return StokerError(
        f"{model.id} does not fit in this machine's memory.",
        f"With a context of {cache.max_model_len:,} tokens for {_requests(cache.parallel)} it "
        f"needs {size(memory.total_bytes)} ({size(memory.weights_bytes)} of weights, "
        f"{size(memory.kv_cache_bytes)} of cache); {size(host.memory.available_bytes)} are "
        f"available, and Stoker takes at most {_MEMORY_SHARE:.0%} of that.",
        "Close other programs, ask for a shorter --context or --parallel 1, or take a smaller "
        "model.",
    )


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{number} requests at a time"


def _reasons(host: Host, fit: _Fit) -> tuple[str, ...]:
    speed, memory = fit.speed, fit.memory
    first = speed.first_token_s(USABLE_PROMPT_TOKENS)
    count = f", {parameters(fit.model.parameters)} parameters" if fit.model.parameters else ""
    lines = [
        f"{fit.model.id}{count}: {size(memory.total_bytes)} of the {size(memory.budget_bytes)} "
        f"that Stoker may use ({_MEMORY_SHARE:.0%} of the memory that is available).",
        f"On {host.cpu.cores} cores about {speed.decode_tokens_per_s:.0f} tokens/s are expected, "
        f"and the first word about {first:.0f} s after a question of {USABLE_PROMPT_TOKENS:,} "
        "tokens.",
    ]
    if speed.decode_tokens_per_s < USABLE_DECODE_TOKENS_S or first > USABLE_FIRST_TOKEN_S:
        lines.append("That is slow: a smaller model, or a GPU, would answer sooner.")
    return tuple(lines)


def _arguments(host: Host, fit: _Fit, context: int | None) -> tuple[Argument, ...]:
    cache, memory = fit.cache, fit.memory
    spare = (memory.budget_bytes - memory.total_bytes) // 2 // MIB
    return (
        Argument("n_ctx", cache.max_model_len * cache.parallel, _context_reason(fit, context)),
        Argument(
            "n_parallel",
            cache.parallel,
            "A chat keeps its slot while the editor asks for a title beside it."
            if cache.parallel > 1
            else "Memory for one conversation at a time.",
        ),
        Argument(
            "cpuparams.n_threads",
            host.cpu.cores,
            f"One thread for each of the {host.cpu.cores} physical cores; more would wait for "
            "each other.",
        ),
        Argument("cpuparams_batch.n_threads", host.cpu.cores, "The same for reading prompts."),
        Argument("n_gpu_layers", 0, "No GPU is used."),
        Argument("n_batch", _N_BATCH, f"Prompts are taken in at most {_N_BATCH:,} tokens at once."),
        Argument(
            "n_ubatch",
            _N_UBATCH,
            f"{_N_UBATCH} tokens go through a layer together: enough to reuse each weight that is "
            "read, and few enough that the activations stay small.",
        ),
        Argument(
            "flash_attn_type",
            _FLASH_ATTENTION_ON,
            "Attention without a table of context x context scores in memory.",
        ),
        Argument(
            "cache_type_k",
            _GGML_TYPE_F16,
            f"16 bits: the cache takes {size(memory.kv_cache_bytes)}, which fits.",
        ),
        Argument("cache_type_v", _GGML_TYPE_F16, "As the keys."),
        Argument(
            "cache_ram_mib",
            min(_MOST_PROMPT_CACHE_MIB, spare),
            "Conversations that lost their slot wait here instead of being read again: half of "
            f"the {size(2 * spare * MIB)} that the plan leaves.",
        ),
        Argument(
            "fit_params",
            False,
            "The plan has made it fit already; llama.cpp must not choose another context.",
        ),
    )


def _context_reason(fit: _Fit, context: int | None) -> str:
    cache, limit = fit.cache, fit.model.max_context_tokens
    shared = f"{cache.max_model_len:,} tokens for each of {cache.parallel} slots, which share it"
    if context is not None:
        return f"{shared}: as asked for."
    if cache.max_model_len == limit:
        return f"{shared}: all that the model was made for."
    if cache.max_model_len == _DEFAULT_CONTEXT:
        return f"{shared}: room for agent mode's 15,500 tokens and the answer."
    return f"{shared}: the longest whose cache fits in {size(fit.memory.budget_bytes)}."
