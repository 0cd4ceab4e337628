"""Plans for llama.cpp: what fits on CPU and GPU, how fast it answers, why each argument.

Arguments carry the names of ``xllamacpp.CommonParams``; a dotted name is a field of a part of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from stoker.engines.llama_cpp import llama_drafts
from stoker.engines.llama_cpp.llama_batch import PromptBatch, batch_arguments, batch_on_cpu
from stoker.engines.llama_cpp.llama_experts import ARGUMENT as EXPERTS
from stoker.engines.llama_cpp.llama_experts import (
    experts_bytes,
    layers_in_main_memory,
    override,
)
from stoker.engines.llama_cpp.llama_memory import (
    LlamaCache,
    llama_memory,
    slot_bytes_per_token,
)
from stoker.engines.llama_cpp.llama_speed import LlamaSpeed, llama_speed
from stoker.errors import StokerError, UsageError
from stoker.host import GpuSpec, Host
from stoker.models import Architecture, Model
from stoker.planning.formatting import MIB, parameters, size
from stoker.planning.quality_score import quality_points
from stoker.planning.quantization import weights_bytes
from stoker.planning.requirements import Candidate, Need, Requirements, need_of
from stoker.planning.serving_plan import Argument, Interval, MemoryPrediction, Plan, Speed

ENGINE = "llama.cpp"

#: The rest stays for the editor, a browser and the system's file cache.
_MEMORY_SHARE = 0.6
#: Of a GPU's free memory, less what its driver and compute buffers need beside the model.
GPU_SHARE, GPU_SPARE_BYTES = 0.95, 400 * MIB
#: Coding needs a file or two; agent mode sends 15,500 tokens before the first word (measured).
_DEFAULT_CONTEXT = 32_768
#: ``LLAMA_MAX_SEQ`` (llama.cpp, src/llama-cparams.h).
_MAX_PARALLEL = 256
#: One slot for the chat and one for the title and the progress line that VS Code asks for beside
#: it, so that those do not push the chat out of its slot.
_DEFAULT_PARALLEL = 2
_UNSURE = 1.5
#: llama.cpp's own default for conversations that lost their slot.
_MOST_PROMPT_CACHE_MIB = 8192
#: At least this much of a prompt must be in a slot for its last one to be written over. A turn adds
#: less than a tenth of a long conversation, and another conversation of the same editor differs in
#: more (VS Code: two in seven share 70 %, most less).
_SLOT_SIMILARITY = 0.9
_FLASH_ATTENTION_ON = 1
#: Types of the cache, the wider first, with ggml's numbers for them (ggml.h).
GGML_TYPES = {"f16": 1, "q8_0": 8}


@dataclass(frozen=True, slots=True)
class LayerPlacement:
    """The memory that llama.cpp may use: main memory, and the GPUs' beside it or instead."""

    main_bytes: int
    gpu_bytes: int
    #: GPU and CPU share one memory: what is on the GPU is not beside the rest but in it.
    unified: bool
    device_bytes: int
    gpu_total_bytes: int = 0

    @property
    def spacious_bytes(self) -> int:
        """What of the GPU's memory may go to more than what is needed: not all of a shared one."""
        return int(_MEMORY_SHARE * self.gpu_bytes) if self.unified else self.gpu_bytes

    @property
    def budget_bytes(self) -> int:
        """All that a plan may take."""
        return self.gpu_bytes if self.unified else self.main_bytes + self.gpu_bytes


@dataclass(frozen=True, slots=True)
class LlamaFit:
    """A model with the cache that fits beside it, and how it is divided."""

    place: LayerPlacement
    candidate: Candidate
    cache: LlamaCache
    memory: MemoryPrediction
    speed: LlamaSpeed
    #: The part of the layers that is on the GPU, from 0 to 1.
    gpu_share: float
    batch: PromptBatch
    #: Layers on the GPU whose experts are in main memory.
    cpu_expert_layers: int = 0

    @property
    def model(self) -> Model:
        """The model that is served."""
        return self.candidate.model


def plan_llama(
    host: Host, candidate: Candidate, requirements: Requirements, gpu: GpuSpec | None = None
) -> Plan:
    """The plan that serves ``candidate`` with llama.cpp on ``host``, whose GPUs are ``gpu``.

    As many layers as fit go to the GPU. Raises ``UsageError`` where the wanted context is more than
    the model was made for, and ``StokerError`` where the model, or that context, does not fit.
    """
    unused, gpu = (gpu, None) if ENGINE in requirements.cpu_only_engines else (None, gpu)
    fit = _with_drafts(fit_llama(host, candidate, requirements, gpu), requirements, gpu)
    plan = plan_of(host, fit, requirements, ENGINE, _arguments(host, fit, requirements.context))
    return plan if unused is None else replace(plan, reasons=(*plan.reasons, _unused_gpu(unused)))


def fit_llama(
    host: Host,
    candidate: Candidate,
    requirements: Requirements,
    gpu: GpuSpec | None = None,
    *,
    places_experts: bool = True,
) -> LlamaFit:
    """How ``candidate`` fits on ``host``. Raises as ``plan_llama`` does.

    ``places_experts``: experts can stay in main memory while the rest of their layer does not.
    """
    model = _sized(candidate.model)
    candidate = Candidate(model, candidate.known)
    _check_context(model, requirements.context)
    _check_parallel(requirements.parallel)
    place = place_of(host, gpu)
    architecture = _known_shape(model)
    batch = PromptBatch() if place.gpu_bytes else batch_on_cpu(host.cpu, model)
    # A data centre's GPU is not bought to wait for main memory: a smaller model is better there.
    places_experts = places_experts and not place.unified and not _in_data_centre(gpu)
    routed = experts_bytes(model) if places_experts else 0
    cache, memory = _largest_cache(place, model, requirements, batch.n_ubatch, routed)
    share, layers = _gpu_share(place, memory), 0
    if routed and 0 < share < 1:
        found = layers_in_main_memory(model, memory, place.gpu_bytes)
        share, layers = (share, 0) if found is None else (1.0, found)
    kept = layers / architecture.experts.num_layers if architecture.experts else 0.0
    speed = llama_speed(host.cpu, gpu, model, share, cpu_experts=kept)
    return LlamaFit(place, candidate, cache, memory, speed, share, batch, layers)


def _with_drafts(fit: LlamaFit, requirements: Requirements, gpu: GpuSpec | None) -> LlamaFit:
    """``fit`` with as many drafts as pay and have room on the GPU beside the rest."""
    on_gpu = fit.gpu_share >= 1 and not fit.cpu_expert_layers
    # The first tokens of an answer pay for reading the prompt twice (sudoingX/qwen38-mtp, pull 5).
    short = requirements.purpose == "completion"
    if short or not on_gpu or not llama_drafts.pays(fit.model, gpu):
        return fit
    numbers = llama_drafts.best_drafts(fit.model, fit.speed, _together(fit, requirements))
    for cache, drafts in product(_narrower(fit.cache, requirements.context), numbers):
        drafting = replace(cache, drafts=drafts)
        memory = llama_memory(fit.model, drafting, fit.place.budget_bytes)
        longer = cache.max_model_len > _DEFAULT_CONTEXT
        if memory.total_bytes <= (fit.place.spacious_bytes if longer else fit.place.gpu_bytes):
            memory = replace(memory, device_bytes=fit.memory.device_bytes)
            return replace(fit, cache=drafting, memory=memory)
    return fit


def _narrower(cache: LlamaCache, context: int | None) -> Iterator[LlamaCache]:
    """The cache, and what of it is given up for drafts: of a context beyond the usual one half, and
    then the width of the elements."""
    yield cache
    if context is None and cache.max_model_len // 2 >= _DEFAULT_CONTEXT:
        cache = replace(cache, max_model_len=cache.max_model_len // 2)
        yield cache
    if cache.cache_type == "f16":
        yield replace(cache, cache_type="q8_0")


def _together(fit: LlamaFit, requirements: Requirements) -> int:
    """The requests that are answered at the same time."""
    return min(requirements.concurrency, fit.cache.parallel)


def _in_data_centre(gpu: GpuSpec | None) -> bool:
    return gpu is not None and gpu.kind == "datacenter"


def plan_of(
    host: Host,
    fit: LlamaFit,
    requirements: Requirements,
    engine: str,
    arguments: tuple[Argument, ...],
) -> Plan:
    """The plan of ``fit`` for llama.cpp, or for an engine that is made of it."""
    speed = _speed(fit, requirements)
    return Plan(
        model=fit.model,
        engine=engine,
        max_model_len=fit.cache.max_model_len,
        parallel=fit.cache.parallel,
        arguments=arguments,
        memory=fit.memory,
        reasons=_reasons(host, fit, speed, requirements),
        speed=speed,
        usable=_is_quick(speed, need_of(requirements)),
        comfortable_tokens_per_s=need_of(requirements).comfortable_tokens_per_s,
        undrafted_tokens_per_s=_undrafted(fit, requirements),
        decode_tokens_per_s=1 / speed.token_s.expected,
        prefill_tokens_per_s=fit.speed.prefill_tokens_per_s / _prompt_share(fit),
        gpus=len(host.gpus) if fit.gpu_share > 0 else 0,
        slot_bytes_per_token=_slot_bytes_per_token(fit),
        completion_slots=requirements.completion_slots,
        score=quality_points(fit.candidate.known, fit.model),
    )


def _slot_bytes_per_token(fit: LlamaFit) -> float | None:
    architecture = fit.model.architecture
    return slot_bytes_per_token(architecture, fit.cache.cache_type) if architecture else None


def _sized(model: Model) -> Model:
    """The model with the size of its file: estimated where it is not published."""
    if model.weights_bytes is not None:
        return model
    return replace(model, weights_bytes=weights_bytes(model))


def place_of(host: Host, gpu: GpuSpec | None) -> LayerPlacement:
    """What of the host's memory a plan may use."""
    main = int(_MEMORY_SHARE * host.memory.available_bytes)
    if gpu is None or not host.gpus:
        return LayerPlacement(main, 0, unified=False, device_bytes=host.memory.total_bytes)
    if gpu.unified:
        shared = min(host.gpus[0].memory_total_bytes or main, int(0.75 * host.memory.total_bytes))
        return LayerPlacement(main, shared, unified=True, device_bytes=host.memory.total_bytes)
    free = [g.memory_free_bytes or g.memory_total_bytes or 0 for g in host.gpus]
    room = sum(max(0, int(GPU_SHARE * one) - GPU_SPARE_BYTES) for one in free)
    total = sum(g.memory_total_bytes or 0 for g in host.gpus)
    return LayerPlacement(
        main,
        room,
        unified=False,
        device_bytes=total + host.memory.total_bytes,
        gpu_total_bytes=total,
    )


def _gpu_share(place: LayerPlacement, memory: MemoryPrediction) -> float:
    if not place.gpu_bytes:
        return 0.0
    return min(1.0, place.gpu_bytes / memory.total_bytes)


def _check_parallel(parallel: int | None) -> None:
    if parallel is not None and parallel > _MAX_PARALLEL:
        raise UsageError(
            f"llama.cpp cannot answer {parallel} requests at the same time.",
            f"It has at most {_MAX_PARALLEL} slots.",
            f"Use --parallel {_MAX_PARALLEL} or less; more requests wait their turn.",
        )


def _check_context(model: Model, context: int | None) -> None:
    limit = model.max_context_tokens
    if context is None or limit is None or context <= limit:
        return
    raise UsageError(
        f"{model.id} cannot use a context of {context:,} tokens.",
        f"It was trained for at most {limit:,}; beyond that its answers break down.",
        f"Ask for --context {limit} or less, or for a model with a longer context.",
    )


def _known_shape(model: Model) -> Architecture:
    if model.architecture is None or model.weights_bytes is None:
        raise StokerError(
            f"Nothing can be planned for {model.id}.",
            "Its size and shape are not known before it is downloaded.",
            "Give the path of its GGUF file, or name a model of the catalogue.",
        )
    return model.architecture


def _largest_cache(
    place: LayerPlacement, model: Model, requirements: Requirements, n_ubatch: int, routed: int
) -> tuple[LlamaCache, MemoryPrediction]:
    """The cache as asked for, or else the longest context up to the default that fits.

    What fits on the GPU as a whole goes before what is longer and does not, and then what fits but
    for ``routed`` bytes of experts. A GPU with room to spare, which reads long prompts quickly,
    gets the context that the purpose is best with.
    """
    longest = min(model.max_context_tokens or _DEFAULT_CONTEXT, _DEFAULT_CONTEXT)
    shortest = min(longest, need_of(requirements).least_context)
    contexts = [requirements.context] if requirements.context else _halved(longest, shortest)
    most = min(max(_DEFAULT_PARALLEL, requirements.concurrency), _MAX_PARALLEL)
    slots = [requirements.parallel] if requirements.parallel else list(range(most, 0, -1))
    slots = [min(number + requirements.completion_slots, _MAX_PARALLEL) for number in slots]
    usual = list(product(contexts, GGML_TYPES, slots))
    spacious = [] if requirements.context else _spacious(model, requirements, slots)
    least = LlamaCache(usual[-1][0], usual[-1][2], n_ubatch, usual[-1][1])
    memory = llama_memory(model, least, place.budget_bytes)
    if memory.total_bytes > place.budget_bytes:
        raise _too_large(place, model, memory, least)
    for room, caches in (
        (place.spacious_bytes, spacious),
        (place.gpu_bytes, usual),
        (min(place.gpu_bytes + routed, place.budget_bytes), usual if place.gpu_bytes else []),
        (place.budget_bytes, usual),
    ):
        # Where the least does not fit, no other does.
        for tokens, cache_type, number in caches if memory.total_bytes <= room else ():
            cache = LlamaCache(tokens, number, n_ubatch, cache_type)
            found = llama_memory(model, cache, place.budget_bytes)
            if found.total_bytes <= room:
                # What the GPU holds whole is drawn against the GPU alone.
                whole = place.gpu_total_bytes if found.total_bytes <= place.gpu_bytes else None
                return cache, replace(found, device_bytes=whole or place.device_bytes)
    raise AssertionError("the least cache fits in the whole budget")


def _spacious(
    model: Model, requirements: Requirements, slots: list[int]
) -> list[tuple[int, str, int]]:
    """Caches beyond the default: longer contexts in 16 bits, a slot for each request."""
    good = min(model.max_context_tokens or _DEFAULT_CONTEXT, need_of(requirements).good_context)
    longer = [tokens for tokens in _halved(good, _DEFAULT_CONTEXT) if tokens > _DEFAULT_CONTEXT]
    return [(tokens, "f16", slots[0]) for tokens in longer]


def _halved(longest: int, least: int) -> list[int]:
    tokens = [longest]
    while tokens[-1] // 2 >= least:
        tokens.append(tokens[-1] // 2)
    return tokens


def _too_large(
    place: LayerPlacement, model: Model, memory: MemoryPrediction, cache: LlamaCache
) -> StokerError:
    return StokerError(
        f"{model.id} does not fit in this machine's memory.",
        f"With a context of {cache.max_model_len:,} tokens for {_requests(cache.parallel)} it "
        f"needs {size(memory.total_bytes)} ({size(memory.weights_bytes)} of weights, "
        f"{size(memory.kv_cache_bytes)} of cache); Stoker may take {size(place.budget_bytes)}: "
        f"{_MEMORY_SHARE:.0%} of the main memory that is available, and what GPUs have free.",
        "Close other programs, ask for a shorter --context or --parallel 1, or take a smaller "
        "model.",
    )


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{number} requests at a time"


def _reasons(
    host: Host, fit: LlamaFit, speed: Speed, requirements: Requirements
) -> tuple[str, ...]:
    memory, need = fit.memory, need_of(requirements)
    count = f", {parameters(fit.model.parameters)} parameters" if fit.model.parameters else ""
    new = round(need.prompt_tokens * (1 - need.prefix_hit))
    lines = [
        f"{fit.model.id}{count}: {size(memory.total_bytes)} of the {size(memory.budget_bytes)} "
        f"that Stoker may use{_of_what(fit.place)}.",
        f"{_where(host, fit)} about {1 / speed.token_s.expected:.0f} tokens/s are expected"
        f"{_for_each(speed, requirements)}, and the first word about "
        f"{speed.first_token_s.expected:.0f} s after a prompt with {new:,} tokens that are new.",
    ]
    if not _is_quick(speed, need):
        lines.append("That is slow: a smaller model, or a GPU, would answer sooner.")
    return tuple(lines)


def _for_each(speed: Speed, requirements: Requirements) -> str:
    if requirements.concurrency == 1:
        return ""
    waiting = requirements.concurrency - speed.concurrency
    return f" for each of {speed.concurrency}" + (f" while {waiting} wait" if waiting else "")


def _speed(fit: LlamaFit, requirements: Requirements) -> Speed:
    """The speed when the wanted number of requests comes at once.

    Their prompts are read one after the other, so that half of the others come first, and each
    answer is interrupted once by the prompt of every other; those that find no slot wait for
    answers to end. How many memory channels are filled, and what else runs, is not known: a factor
    of 1.5 either way.
    """
    speed, need, wanted = fit.speed, need_of(requirements), requirements.concurrency
    together = _together(fit, requirements)
    prompt = speed.first_token_s(need.prompt_tokens * (1 - need.prefix_hit)) * _prompt_share(fit)
    token = llama_drafts.token_s(speed, together, fit.cache.drafts)
    token += (together - 1) * prompt / need.answer_tokens
    rounds = math.ceil(wanted / together) - 1
    answer = need.answer_tokens * token
    first = prompt * (1 + (together - 1) / 2) + rounds / 2 * (together * prompt + answer)
    return Speed(
        concurrency=together,
        prompt_tokens=need.prompt_tokens,
        first_token_s=Interval(first, first / _UNSURE, first * _UNSURE),
        token_s=Interval(token, token / _UNSURE, token * _UNSURE),
    )


def _undrafted(fit: LlamaFit, requirements: Requirements) -> float | None:
    if not fit.cache.drafts:
        return None
    without = replace(fit, cache=replace(fit.cache, drafts=0))
    return 1 / _speed(without, requirements).token_s.expected


def _prompt_share(fit: LlamaFit) -> float:
    """What reading a prompt takes more where the head that drafts reads it, too."""
    architecture = fit.model.architecture
    if architecture is None or not fit.cache.drafts:
        return 1.0
    return 1 + architecture.num_mtp_layers / architecture.num_layers


def _is_quick(speed: Speed, need: Need) -> bool:
    """Whether a person would wait for answers of this speed."""
    return (
        1 / speed.token_s.expected >= need.least_tokens_per_s
        and speed.first_token_s.expected <= need.most_first_token_s
    )


def _unused_gpu(gpu: GpuSpec) -> str:
    return (
        f"The {gpu.name} stays unused: the llama.cpp that is installed was built for the CPU. Its "
        "wheels for CUDA, ROCm and Vulkan are named at https://pypi.org/project/xllamacpp. With "
        "Docker whose containers reach the GPU, Stoker runs llama.cpp's own image there."
    )


def _of_what(place: LayerPlacement) -> str:
    if place.unified:
        return " of the memory that CPU and GPU share"
    if place.gpu_bytes:
        return f" ({size(place.gpu_bytes)} of that on the GPU)"
    return f" ({_MEMORY_SHARE:.0%} of the memory that is available)"


def _where(host: Host, fit: LlamaFit) -> str:
    cores = f"{host.cpu.cores} cores"
    if fit.cpu_expert_layers:
        return (
            f"With the experts of {fit.cpu_expert_layers} layers on {cores} and all else on the GPU"
        )
    if fit.gpu_share >= 1:
        return "On the GPU"
    return (
        f"On {cores}" if not fit.gpu_share else f"With {fit.gpu_share:.0%} on the GPU and {cores}"
    )


def gpu_layers(fit: LlamaFit) -> int:
    """How many of the model's blocks go to the GPU."""
    blocks = fit.model.architecture.num_layers if fit.model.architecture else 0
    return int(blocks * fit.gpu_share)


def _layer_arguments(fit: LlamaFit) -> tuple[Argument, ...]:
    """Where the layers go, and their experts."""
    if not fit.cpu_expert_layers:
        return (_layers_argument(fit),)
    kept = size(max(0, fit.memory.total_bytes - fit.place.gpu_bytes))
    return (
        Argument("n_gpu_layers", -1, "All layers, without the experts that are named apart."),
        Argument(
            EXPERTS,
            override(fit.model, fit.cpu_expert_layers),
            f"The experts of {fit.cpu_expert_layers} layers stay in main memory ({kept}): a token "
            "reads few of them, and everything else is read whole.",
        ),
    )


def _layers_argument(fit: LlamaFit) -> Argument:
    """How many layers go to the GPU; -1 is all of them."""
    if fit.gpu_share <= 0:
        return Argument("n_gpu_layers", 0, "No GPU is used.")
    if fit.gpu_share >= 1:
        return Argument("n_gpu_layers", -1, f"All of it: {size(fit.memory.total_bytes)} fit there.")
    layers = fit.model.architecture.num_layers if fit.model.architecture else 0
    number = gpu_layers(fit)
    reason = f"{number} of {layers} layers fit on the GPU; the CPU does the others."
    return Argument("n_gpu_layers", number, reason)


def _arguments(host: Host, fit: LlamaFit, context: int | None) -> tuple[Argument, ...]:
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
        *_layer_arguments(fit),
        *batch_arguments(fit.batch),
        *llama_drafts.draft_arguments(cache.drafts, _drafts_reason(fit)),
        Argument(
            "flash_attn_type",
            _FLASH_ATTENTION_ON,
            "Attention without a table of context x context scores in memory.",
        ),
        Argument("cache_type_k", GGML_TYPES[cache.cache_type], _cache_reason(fit)),
        Argument("cache_type_v", GGML_TYPES[cache.cache_type], "The same as for the keys."),
        Argument(
            "cache_ram_mib",
            min(_MOST_PROMPT_CACHE_MIB, spare),
            _prompt_cache_reason(fit, spare),
        ),
        Argument(
            "slot_prompt_similarity",
            _SLOT_SIMILARITY,
            "A prompt that shares less moves what its slot held to the prompt cache, instead of "
            "writing over it: conversations of one editor share their beginning.",
        ),
        Argument(
            "fit_params",
            False,
            "The plan has made it fit already; llama.cpp must not choose another context.",
        ),
    )


def _drafts_reason(fit: LlamaFit) -> str:
    """Why the model drafts: speed with and without, for one request, and the memory."""
    drafts = fit.cache.drafts
    plain, drafting = (llama_drafts.token_s(fit.speed, 1, number) for number in (0, drafts))
    without = llama_memory(fit.model, replace(fit.cache, drafts=0), fit.memory.budget_bytes)
    return (
        f"The model's own head drafts {drafts} {'token' if drafts == 1 else 'tokens'}, which the "
        f"GPU checks at once: about {1 / drafting:.0f} tokens/s instead of {1 / plain:.0f}, where "
        f"{llama_drafts.ACCEPTANCE:.0%} are right behind right ones, as published for "
        f"Qwen3.8-27B. It takes {size(fit.memory.total_bytes - without.total_bytes)}."
    )


def _cache_reason(fit: LlamaFit) -> str:
    taken = size(fit.memory.kv_cache_bytes)
    if fit.cache.cache_type == "f16":
        return f"16 bits: the cache takes {taken}, which fits."
    return f"8 bits (q8_0): the cache takes {taken}; in 16 bits the context would be shorter."


def _prompt_cache_reason(fit: LlamaFit, spare_mib: int) -> str:
    cache = fit.cache
    left = f"half of the {size(2 * spare_mib * MIB)} that the plan leaves"
    each_bytes = fit.memory.kv_cache_bytes // cache.parallel
    if not each_bytes:
        return f"Conversations that lost their slot wait here instead of being read again: {left}."
    waiting = min(_MOST_PROMPT_CACHE_MIB, spare_mib) * MIB // each_bytes
    return (
        f"Conversations that lost their slot wait here instead of being read again: {left}. So "
        f"{cache.parallel + waiting:,} full ones of {cache.max_model_len:,} tokens stay warm, "
        f"{cache.parallel} of them in slots; shorter ones take less."
    )


def _context_reason(fit: LlamaFit, context: int | None) -> str:
    cache, limit = fit.cache, fit.model.max_context_tokens
    shared = f"{cache.max_model_len:,} tokens for each of {cache.parallel} slots, which share it"
    if context is not None:
        return f"{shared}: as asked for."
    if cache.max_model_len == limit:
        return f"{shared}: all that the model was made for."
    if cache.max_model_len > _DEFAULT_CONTEXT:
        return f"{shared}: a long conversation with files, which still fits on the GPU."
    if cache.max_model_len == _DEFAULT_CONTEXT:
        return f"{shared}: room for agent mode's 15,500 tokens and the answer."
    return f"{shared}: the longest whose cache fits in {size(fit.memory.budget_bytes)}."
