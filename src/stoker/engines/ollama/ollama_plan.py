"""What to set for Ollama, which Stoker does not start: its variables and model, each with a reason.

Ollama runs llama.cpp, so memory and speed are those of ``llama_plan``. Its settings:
https://docs.ollama.com/faq (parallel requests, flash attention, K/V cache, keep-alive),
https://docs.ollama.com/context-length, https://docs.ollama.com/modelfile (``num_gpu``) and
https://huggingface.co/docs/hub/ollama (tags of the hub's models).
"""

from __future__ import annotations

from stoker.engines.llama_cpp.llama_plan import LlamaFit, fit_llama, gpu_layers, plan_of
from stoker.errors import StokerError
from stoker.host import GpuSpec, Host
from stoker.models import Model
from stoker.planning.formatting import GIB, size
from stoker.planning.requirements import Candidate, Requirements
from stoker.planning.serving_plan import Argument, Plan

ENGINE = "ollama"

_ADDRESS = "http://127.0.0.1:11434"
#: What Ollama takes by itself: a context for machines with this much GPU memory or more. Cards of
#: 24 and 48 GB report a little less, so it looks for 23 and 47 (server/routes.go of ollama/ollama).
_OWN_CONTEXTS = ((47 * GIB, 262_144), (23 * GIB, 32_768), (0, 4_096))
#: Publishers split larger GGUF files, and the hub refuses split ones to Ollama:
#: https://github.com/ollama/ollama/issues/5245
_SPLIT_FROM_BYTES = 50 * 10**9


def plan_ollama(
    host: Host, candidate: Candidate, requirements: Requirements, gpu: GpuSpec | None = None
) -> Plan:
    """What to set for Ollama so that it serves ``candidate`` on ``host``, whose GPUs are ``gpu``.

    Raises ``UsageError`` and ``StokerError`` as ``plan_llama`` does, and ``StokerError`` for files
    that Ollama can't pull.
    """
    # Ollama places whole layers.
    fit = fit_llama(host, candidate, requirements, gpu, places_experts=False)
    _check_whole(fit.model)
    return plan_of(host, fit, requirements, ENGINE, _settings(fit))


def commands(plan: Plan) -> tuple[str, ...]:
    """What to type once Ollama has its settings, up to the gateway in front of it."""
    file = plan.argument("FROM")
    fetch = (
        f"ollama create {plan.model.served_name} -f Modelfile"
        if file
        else f"ollama pull {plan.argument('model')}"
    )
    return fetch, f"stoker adopt {_ADDRESS}"


def _check_whole(model: Model) -> None:
    if model.path is None and (model.weights_bytes or 0) > _SPLIT_FROM_BYTES:
        raise StokerError(
            f"Ollama can't pull {model.id}.",
            f"Its {size(model.weights_bytes or 0)} come in several files, which the hub refuses "
            "to give Ollama.",
            "Use --engine llama.cpp, which reads such files, or a smaller model.",
        )


def _settings(fit: LlamaFit) -> tuple[Argument, ...]:
    cache, memory = fit.cache, fit.memory
    cache_size = size(memory.kv_cache_bytes)
    narrow = cache.cache_type != "f16"
    return (
        _model(fit.model),
        Argument("OLLAMA_CONTEXT_LENGTH", cache.max_model_len, _context_reason(fit)),
        Argument(
            "OLLAMA_NUM_PARALLEL",
            cache.parallel,
            f"Requests at the same time, with {cache.max_model_len:,} tokens each: {cache_size} of "
            "cache for all of them. Ollama's default is 1, so that the title which an editor asks "
            "for would wait for the answer."
            if cache.parallel > 1
            else f"Another one at the same time would need {cache_size} more for its cache.",
        ),
        Argument(
            "OLLAMA_FLASH_ATTENTION",
            1,
            "A cache of 8 bits needs it."
            if narrow
            else "Attention without a table of context x context scores in memory.",
        ),
        Argument(
            "OLLAMA_KV_CACHE_TYPE",
            cache.cache_type,
            f"8 bits: the cache takes {cache_size}; in 16 bits the context would be shorter."
            if narrow
            else f"16 bits: the cache takes {cache_size}, which fits.",
        ),
        Argument(
            "OLLAMA_MAX_LOADED_MODELS",
            1,
            f"The {size(memory.total_bytes)} are planned for this model alone; by itself Ollama "
            "keeps up to 3 for each GPU.",
        ),
        Argument(
            "OLLAMA_KEEP_ALIVE",
            -1,
            f"Never unload it: Ollama does after 5 minutes, and the next question would wait for "
            f"{size(memory.weights_bytes)} to be read again.",
        ),
        _layers(fit),
    )


def _model(model: Model) -> Argument:
    """The name to pull, or the line of the Modelfile for a file that is here."""
    weights = size(model.weights_bytes or 0)
    if model.path is not None:
        return Argument("FROM", str(model.path), f"{weights} on this disk: for a Modelfile.")
    tag = f"hf.co/{model.id}:{model.quantization}"
    return Argument("model", tag, f"{weights} of weights, which Ollama gets from the hub.")


def _context_reason(fit: LlamaFit) -> str:
    tokens, limit = fit.cache.max_model_len, fit.model.max_context_tokens
    gpu_bytes = fit.place.gpu_total_bytes or fit.place.gpu_bytes
    own = next(context for least, context in _OWN_CONTEXTS if gpu_bytes >= least)
    reason = f"Tokens of each request{', all that the model was made for' * (tokens == limit)}. "
    if own < tokens:
        return reason + f"By itself Ollama takes {own:,} here, and cuts longer prompts silently."
    if own > tokens:
        return reason + f"By itself Ollama takes {own:,} here, whose cache is not planned for."
    return reason + "Ollama takes as many by itself here; set, it stays so."


def _layers(fit: LlamaFit) -> Argument:
    """``num_gpu`` counts layers, the output among them, and is set in a Modelfile or a request."""
    if not fit.gpu_share:
        return Argument("num_gpu", 0, "No GPU is used. Ollama finds that out by itself.")
    blocks = fit.model.architecture.num_layers if fit.model.architecture else 0
    check = "Ollama decides by itself; ollama ps shows the result under PROCESSOR."
    if fit.gpu_share >= 1:
        reason = f"All {blocks} layers and the output fit: {size(fit.memory.total_bytes)}. {check}"
        return Argument("num_gpu", blocks + 1, reason)
    number = gpu_layers(fit)
    reason = f"{number} of {blocks} layers fit on the GPU; the CPU does the others. {check}"
    return Argument("num_gpu", number, reason)
