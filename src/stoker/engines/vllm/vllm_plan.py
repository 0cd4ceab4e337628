"""Plans for vLLM on GPUs: how many, which context and types, how fast, and why each argument."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from stoker.counted import counted
from stoker.engines.vllm.vllm_kv_offloading import PROCESS_BYTES, kv_offloading
from stoker.engines.vllm.vllm_memory import (
    DEFAULT_UTILIZATION,
    VllmMemory,
    VllmSettings,
    is_multimodal,
    kv_bytes_per_token,
    max_concurrency,
    ngram_host_bytes,
    visible_bytes,
    vllm_memory,
)
from stoker.engines.vllm.vllm_planner import NAME
from stoker.engines.vllm.vllm_quantization_support import why_not
from stoker.engines.vllm.vllm_speed import Hardware, Limits, load_of, predict
from stoker.errors import StokerError, UsageError
from stoker.host import Gpu, GpuSpec, Host
from stoker.models import Architecture, Purpose
from stoker.planning.formatting import GIB, parameters, size
from stoker.planning.parameter_count import count_weights
from stoker.planning.quality_score import quality_points
from stoker.planning.quantization import Precision, precision_of
from stoker.planning.requirements import ANY, NEEDS, Candidate, Need, Requirements
from stoker.planning.serving_plan import Argument, MemoryPrediction, Plan, Speed, Traffic

#: What stays free beside the budget. vLLM compares its share with what is free once its own CUDA
#: context is there: 0.52 GiB less than the driver reports before (measured: H100, driver 580.159,
#: vLLM 0.26). Smaller GPUs take less.
_SPARE_BYTES = int(0.6 * GIB)
#: ``EngineArgs`` takes 8192 on data-centre GPUs from 70 GiB on, and 2048 else: longer pieces of a
#: prompt would stall the answers of others for longer (vllm/engine/arg_utils.py, 0.32).
_LARGE_GPU_BYTES = 70 * GIB
_BATCHED_LARGE, _BATCHED = 8192, 2048
_FP8_CACHE_CAPABILITY = 80
_BF16_CAPABILITY = 80
#: Contexts that are offered, from the longest on.
_CONTEXTS = (262_144, 131_072, 98_304, 65_536, 49_152, 32_768, 24_576, 16_384, 8_192, 4_096)
#: Decoding ahead costs arithmetic, which a GPU with few requests at once has to spare.
_MOST_SPECULATIVE_REQUESTS = 3
#: More than this at once is several servers' work: batches grow no quicker from here on.
_MOST_SEQUENCES = 256
#: On less memory than this the encoder for images is left out, for the sake of the context.
_VISION_FROM_BYTES = 40 * GIB
#: Reading speed with some to spare: more GPUs than this needs are better used for a second copy.
_LIKED_TOKENS_S = 30.0
#: How much quicker twice as many GPUs have to make the answers to one user.
_WORTH_DOUBLING = 1.3
#: What weights of four bits may take beyond the estimate from the model's shape: publishers keep
#: different parts wider. Nine of ten logs were within 4.4 % (``benchmarks/plan_accuracy.py``).
_GUESSED_WEIGHTS = 1.05


@dataclass(frozen=True, slots=True)
class _Machine:
    """Equal GPUs, as planning needs them."""

    gpus: tuple[Gpu, ...]
    spec: GpuSpec
    hardware: Hardware
    total_bytes: int
    utilization: float
    #: Main memory that can be locked beside the GPUs' own: none where both are one, or under WSL.
    lockable_bytes: int

    @property
    def capability(self) -> int | None:
        """Compute capability as one number: 8.9 is 89. ``None`` for other makers' GPUs."""
        found = self.gpus[0].compute_capability or self.spec.compute_capability
        return None if found is None else 10 * found[0] + found[1]

    @property
    def name(self) -> str:
        """``2 x RTX 3090 24GB``."""
        count = len(self.gpus)
        return f"{count} x {self.spec.label}" if count > 1 else self.spec.label


@dataclass(frozen=True, slots=True)
class _Task:
    """One model for one machine and one set of requirements."""

    machine: _Machine
    candidate: Candidate
    architecture: Architecture
    precision: Precision
    requirements: Requirements
    need: Need
    #: The longest context that the model was made for.
    limit: int

    def memory(self, settings: VllmSettings) -> VllmMemory:
        """The memory of one GPU under ``settings``."""
        total = self.machine.total_bytes
        known = self._weights_bytes
        return vllm_memory(self.architecture, self.precision, settings, total, known)

    @property
    def guesses_weights(self) -> bool:
        """Whether the weights' size follows from the shape, where publishers differ."""
        return self.candidate.model.weights_bytes is None and self.precision.expert_bits < 8

    @property
    def _weights_bytes(self) -> int | None:
        """The size of the files, or the most that they may take; ``None`` where the shape shows."""
        if not self.guesses_weights:
            return self.candidate.model.weights_bytes
        return int(_GUESSED_WEIGHTS * self.precision.weight_bytes(count_weights(self.architecture)))

    def requests(self, settings: VllmSettings, tokens: int, cache_bytes: float) -> float:
        """How many requests of ``tokens`` a cache holds."""
        return max_concurrency(self.architecture, settings, cache_bytes, tokens)


@dataclass(frozen=True, slots=True)
class _Fit:
    """Settings that fit, with what they give."""

    settings: VllmSettings
    memory: VllmMemory
    speed: Speed
    prefill_tokens_per_s: float
    #: The speed without guessing ahead.
    plain_speed: Speed

    @property
    def gpus(self) -> int:
        """All GPUs that it runs on."""
        return self.settings.tensor_parallel_size * self.settings.pipeline_parallel_size


def plan_vllm(host: Host, spec: GpuSpec, candidate: Candidate, requirements: Requirements) -> Plan:
    """The plan that serves ``candidate`` with vLLM on the GPUs of ``host``, which are ``spec``.

    Raises ``UsageError`` for what is asked wrongly and ``StokerError`` for what does not fit.
    """
    machine = _machine(host, spec)
    architecture = candidate.model.architecture
    if architecture is None or candidate.model.format != "safetensors":
        raise _not_for_vllm(candidate)
    precision = precision_of(candidate.model.quantization, architecture)
    _check_format(machine, candidate, precision)
    need = _need(requirements.purpose, named=requirements.named)
    limit = _limit(candidate, requirements)
    task = _Task(machine, candidate, architecture, precision, requirements, need, limit)
    fit = _best_fit(task)
    served = requirements.parallel or _sequences(requirements)
    return Plan(
        model=candidate.model,
        engine=NAME,
        max_model_len=fit.settings.max_model_len,
        parallel=served,
        arguments=(*_arguments(task, fit), *_offloading(host, spec, task, fit)),
        memory=_prediction(machine, fit),
        reasons=_reasons(task, fit),
        decode_tokens_per_s=1 / fit.speed.token_s.expected,
        prefill_tokens_per_s=fit.prefill_tokens_per_s,
        speed=fit.speed,
        gpus=fit.gpus,
        max_concurrency=fit.memory.max_concurrency,
        most_at_once=_at_once(task, fit),
        usable=_is_usable(task, fit),
        comfortable_tokens_per_s=task.need.comfortable_tokens_per_s,
        score=quality_points(candidate.known, candidate.model),
    )


def _offloading(host: Host, spec: GpuSpec, task: _Task, fit: _Fit) -> tuple[Argument, ...]:
    """Left out where vLLM guesses ahead or works in stages: what it keeps then is not known."""
    if fit.settings.num_speculative_tokens or fit.settings.pipeline_parallel_size > 1:
        return ()
    return kv_offloading(host, spec, task.architecture, fit.gpus, fit.memory.kv_cache_bytes)


@cache
def _need(purpose: Purpose | None, *, named: bool) -> Need:
    """What a plan has to give; a model that is named gets the context that fits, not a refusal."""
    need = NEEDS[purpose or "agent"]
    return replace(need, least_context=ANY.least_context) if named else need


def _machine(host: Host, spec: GpuSpec) -> _Machine:
    hardware = Hardware.of(spec)
    driver_total = host.gpus[0].memory_total_bytes or spec.memory_usable_bytes or spec.memory_bytes
    if hardware is None or driver_total is None:
        raise StokerError(
            f"Nothing can be planned for {spec.label}.",
            "Its memory bandwidth or matrix rate is not known.",
            "Add them to your own gpus.toml.",
        )
    total = visible_bytes(driver_total) if host.gpus[0].vendor == "nvidia" else driver_total
    free = min((gpu.memory_free_bytes or driver_total for gpu in host.gpus), default=driver_total)
    free = min(free, total)
    utilization = min(DEFAULT_UTILIZATION, math.floor(100 * (free - _SPARE_BYTES) / total) / 100)
    if utilization <= 0.1:
        raise StokerError(
            f"{spec.label} has no memory to spare.",
            f"{size(free)} of {size(total)} are free.",
            "Stop what holds it; `stoker host` shows that.",
        )
    lockable = 0 if spec.unified or host.wsl2 else host.memory.available_bytes
    return _Machine(host.gpus, spec, hardware, total, utilization, lockable)


def _not_for_vllm(candidate: Candidate) -> StokerError:
    return StokerError(
        f"vLLM can't serve {candidate.model.id}.",
        "It needs the files of a Hugging Face repository, and a config.json that can be read.",
        "Use llama.cpp for GGUF files: --engine llama.cpp.",
    )


def _check_format(machine: _Machine, candidate: Candidate, precision: Precision) -> None:
    """Raise where the GPU cannot run weights of this format."""
    if candidate.made_for not in (None, machine.spec.vendor):
        raise UsageError(
            f"{machine.spec.label} cannot run {candidate.model.id}.",
            f"These files are made for GPUs of {candidate.made_for}.",
            "Choose another quantization of the model.",
        )
    failures = candidate.known.failures(candidate.model.id) if candidate.known else {}
    if machine.spec.name in failures:
        raise UsageError(
            f"vLLM fails with {candidate.model.id} on {machine.spec.label}.",
            f"On that GPU {failures[machine.spec.name]}.",
            "Choose another quantization of the model.",
        )
    why = why_not(precision.name, machine.spec, machine.capability)
    if not why:
        return
    raise UsageError(
        f"{machine.spec.label} cannot run {candidate.model.id}.",
        f"Its weights are {precision.name}: {why}.",
        "Choose another quantization of the model, or --engine llama.cpp.",
    )


def _limit(candidate: Candidate, requirements: Requirements) -> int:
    limit = candidate.model.max_context_tokens or NEEDS["chat"].good_context
    if requirements.context is not None and requirements.context > limit:
        raise UsageError(
            f"{candidate.model.id} cannot use a context of {requirements.context:,} tokens.",
            f"It was made for at most {limit:,}.",
            f"Ask for --context {limit} or less, or for a model with a longer context.",
        )
    return limit


# --- finding settings that fit -------------------------------------------------------------------


def _best_fit(task: _Task) -> _Fit:
    """The fewest GPUs that hold what is wanted at a comfortable speed, else the most.

    For one user, twice as many where they make it a good deal quicker: a second copy would idle.
    """
    best: _Fit | None = None
    liked: _Fit | None = None
    wanted = task.requirements.tensor_parallel
    for gpus, stages in _divisions(task.architecture, len(task.machine.gpus)):
        if wanted is not None and (gpus, stages) != (wanted, 1):
            continue
        if stages > 1 and best is not None:
            break  # stages wait for each other: they are for what fits in no other way
        fit = _fit_on(task, gpus, stages)
        best = fit or best
        if fit is None or not _is_liked(task, fit):
            continue
        if task.requirements.users > 1 or (liked is not None and not _much_quicker(fit, liked)):
            return liked or fit
        liked = fit
    best = liked or best
    if best is None:
        raise _too_large(task)
    return best


def _much_quicker(fit: _Fit, other: _Fit) -> bool:
    return fit.speed.token_s.expected * _WORTH_DOUBLING < other.speed.token_s.expected


def _divisions(architecture: Architecture, available: int) -> Iterator[tuple[int, int]]:
    """Ways to divide a model: by heads among some of the GPUs, then by layers into stages."""
    heads = [
        gpus
        for gpus in (1, 2, 4, 8, 16)
        if gpus <= available and architecture.num_attention_heads % gpus == 0
    ]
    for gpus in heads:
        yield gpus, 1
    if architecture.ngram_tables:
        return  # these models of vLLM's do not work in stages (``qwen4_exp/model_state.py``)
    for gpus in reversed(heads):
        if available // gpus > 1:
            yield gpus, available // gpus


def _fit_on(task: _Task, gpus: int, stages: int) -> _Fit | None:
    """The widest settings that fit on ``gpus`` GPUs, or ``None``: a 16-bit cache and guessing ahead
    where there is room, then without the one, the other and both."""
    first = _settings(task, gpus, stages)
    plain = replace(first, num_speculative_tokens=0)
    attempts = (first, plain) if _guessing_pays(task, first) else (plain,)
    narrow = _can_narrow(task.machine)
    cramped = None
    for settings in attempts:
        for cache_type in ("auto", "fp8") if narrow else ("auto",):
            wide = cache_type == settings.kv_cache_dtype
            attempt = settings if wide else replace(settings, kv_cache_dtype=cache_type)
            memory = task.memory(attempt)
            if memory.kv_cache_bytes <= 0:
                return None  # the weights alone are too much, whatever the cache is like
            if not memory.fits:
                continue
            if not _cramped(task, attempt, memory):
                return _finish(task, attempt, memory)
            cramped = attempt, memory
    return _finish(task, *cramped) if cramped else None


def _settings(task: _Task, gpus: int, stages: int) -> VllmSettings:
    machine, requirements = task.machine, task.requirements
    together = gpus * machine.total_bytes
    large = machine.total_bytes >= _LARGE_GPU_BYTES
    return VllmSettings(
        max_model_len=min(task.limit, requirements.context or task.need.least_context),
        gpu_memory_utilization=machine.utilization,
        max_num_seqs=_sequences(requirements),
        max_num_batched_tokens=_BATCHED_LARGE if large else _BATCHED,
        tensor_parallel_size=gpus,
        pipeline_parallel_size=stages,
        num_speculative_tokens=_speculative_tokens(task.candidate, requirements),
        vision=is_multimodal(task.architecture) and together > _VISION_FROM_BYTES,
        measured_bytes=requirements.more_bytes(NAME, task.candidate.model, gpus * stages),
        ngram_on_gpus=_ngram_on_gpus(task, gpus),
    )


def _ngram_on_gpus(task: _Task, gpus: int) -> bool:
    """Whether main memory has no room for the tables of as many copies as the GPUs hold."""
    if not task.architecture.ngram_tables:
        return False
    copies = len(task.machine.gpus) // gpus
    tables = ngram_host_bytes(task.architecture, task.precision, gpus)
    return copies * (tables + gpus * PROCESS_BYTES) > task.machine.lockable_bytes


def _can_narrow(machine: _Machine) -> bool:
    return machine.capability is None or machine.capability >= _FP8_CACHE_CAPABILITY


def _cramped(task: _Task, settings: VllmSettings, memory: VllmMemory) -> bool:
    """Whether the cache holds less than half of the context that is good to have."""
    if task.requirements.context is not None:
        return memory.max_concurrency < task.requirements.concurrency
    wanted = min(task.limit, task.need.good_context) // 2
    return task.requests(settings, wanted, memory.kv_cache_bytes) < 1


def _finish(task: _Task, settings: VllmSettings, memory: VllmMemory) -> _Fit:
    """Lengthen the context as far as the cache holds those who ask at once; predict the speed."""
    if task.requirements.context is None:
        settings = replace(settings, max_model_len=_context(task, settings, memory))
        memory = task.memory(settings)
    plain_speed, prefill = _predicted(task, settings, 0)
    drafts = settings.num_speculative_tokens
    speed = _predicted(task, settings, drafts)[0] if drafts else plain_speed
    return _Fit(settings, memory, speed, prefill, plain_speed)


def _predicted(task: _Task, settings: VllmSettings, drafts: int) -> tuple[Speed, float]:
    """The speed, and the prompt tokens a second of a prompt that runs alone."""
    need = task.need
    load = load_of(
        task.architecture,
        task.precision,
        settings.tensor_parallel_size,
        kv_cache_dtype=settings.kv_cache_dtype,
    )
    prompt = min(need.prompt_tokens, max(256, settings.max_model_len - need.answer_tokens))
    traffic = Traffic(task.requirements.concurrency, prompt, need.answer_tokens, need.prefix_hit)
    limits = Limits(settings.max_num_batched_tokens)
    return predict(load, task.machine.hardware, traffic, drafts, limits)


def _guessing_pays(task: _Task, settings: VllmSettings) -> bool:
    if not settings.num_speculative_tokens:
        return False
    guessing, _ = _predicted(task, settings, settings.num_speculative_tokens)
    plain, _ = _predicted(task, settings, 0)
    return guessing.token_s.expected < plain.token_s.expected


def _context(task: _Task, settings: VllmSettings, memory: VllmMemory) -> int:
    """The longest context on offer with room for half of those who ask at once at full length."""
    wanted = max(1.0, task.requirements.concurrency / 2)
    most = min(task.limit, max(task.need.good_context, settings.max_model_len))
    for tokens in (most, *(c for c in _CONTEXTS if settings.max_model_len < c < most)):
        if task.requests(settings, tokens, memory.kv_cache_bytes) >= wanted:
            return tokens
    return settings.max_model_len


def _is_liked(task: _Task, fit: _Fit) -> bool:
    enough = fit.memory.max_concurrency >= max(1.0, task.requirements.concurrency / 2)
    target = task.requirements.context or min(task.limit, task.need.good_context) // 2
    quick = 1 / fit.speed.token_s.expected >= _LIKED_TOKENS_S
    prompt = fit.speed.first_token_s.expected <= task.need.most_first_token_s / 3
    return enough and fit.settings.max_model_len >= target and quick and prompt


def _sequences(requirements: Requirements) -> int:
    """``max_num_seqs``: each who asks, and the title that the editor asks for beside it."""
    needed = max(4, 2 * requirements.concurrency)
    return min(_MOST_SEQUENCES, int(2 ** math.ceil(math.log2(needed))))


def _speculative_tokens(candidate: Candidate, requirements: Requirements) -> int:
    """Tokens to decode ahead with the model's own extra layers, 0 where that does not help."""
    known = candidate.known
    if known is None or known.speculative is None:
        return 0
    if requirements.concurrency > _MOST_SPECULATIVE_REQUESTS:
        return 0
    if requirements.why_no_drafts(NAME, candidate.model):
        return 0
    if "mtp" not in str(known.speculative.get("method", "")):
        return 0  # a drafter of its own would have to be fetched and counted too
    if candidate.model.id.partition("/")[0] != known.id.partition("/")[0]:
        return 0  # those who quantize others' models often leave the extra layers out
    tokens = known.speculative.get("num_speculative_tokens", 0)
    return tokens if isinstance(tokens, int) else 0


def _is_usable(task: _Task, fit: _Fit) -> bool:
    """Whether users would wait for these answers, and all who ask at once get theirs."""
    return (
        1 / fit.speed.token_s.expected >= task.need.least_tokens_per_s
        and fit.speed.first_token_s.expected <= task.need.most_first_token_s
        and _at_once(task, fit) >= fit.speed.concurrency
    )


def _at_once(task: _Task, fit: _Fit) -> int:
    """How many requests the cache and ``max_num_seqs`` hold at most: what they have in common, the
    part of a prompt that is cached, lies in the cache once."""
    common = task.need.prefix_hit * fit.speed.prompt_tokens
    each = fit.speed.prompt_tokens - common + task.need.answer_tokens
    return min(_MOST_SEQUENCES, max(1, int((fit.memory.kv_cache_tokens - common) / each)))


# --- the reasons ---------------------------------------------------------------------------------


def _too_large(task: _Task) -> StokerError:
    machine, candidate, precision = task.machine, task.candidate, task.precision
    weights = candidate.model.weights_bytes
    if weights is None:
        weights = int(precision.weight_bytes(count_weights(task.architecture)))
    context = task.requirements.context or min(task.limit, task.need.least_context)
    one = kv_bytes_per_token(task.architecture, VllmSettings(context)) * context
    budget = machine.total_bytes * machine.utilization
    return StokerError(
        f"{candidate.model.id} does not fit on {machine.name}.",
        f"Its weights take {size(weights)} as {precision.name} and one request of {context:,} "
        f"tokens {size(one)}; vLLM may use {size(budget)} on each GPU.",
        "Take a smaller model or a narrower quantization, ask for a shorter --context, or add "
        "GPUs.",
    )


def _prediction(machine: _Machine, fit: _Fit) -> MemoryPrediction:
    memory = fit.memory
    return MemoryPrediction(
        weights_bytes=memory.weights_bytes,
        kv_cache_bytes=max(0, memory.kv_cache_bytes),
        overhead_bytes=memory.activation_bytes + memory.graphs_bytes,
        budget_bytes=memory.budget_bytes,
        graphs_bytes=memory.graphs_bytes,
        device_bytes=machine.total_bytes,
        measured_bytes=fit.settings.measured_bytes,
    )


def _reasons(task: _Task, fit: _Fit) -> tuple[str, ...]:
    machine, candidate = task.machine, task.candidate
    memory, speed, known = fit.memory, fit.speed, candidate.known
    count = candidate.model.parameters
    what = f", {parameters(count)} parameters" if count else ""
    lines = [
        f"{candidate.model.id}{what}: weights of {size(memory.weights_bytes)} "
        f"{_on_gpus(fit.gpus)} leave {size(memory.kv_cache_bytes)} for "
        f"{memory.kv_cache_tokens:,} tokens of context.",
        f"With {speed.concurrency} at once: {1 / speed.token_s.expected:.0f} tokens/s each "
        f"({1 / speed.token_s.high:.0f} to {1 / speed.token_s.low:.0f}), first word after "
        f"{speed.first_token_s.expected:.2g} s ({speed.first_token_s.low:.2g} to "
        f"{speed.first_token_s.high:.2g}) on a prompt of {speed.prompt_tokens:,} tokens, "
        f"{task.need.prefix_hit:.0%} of them in the prefix cache.",
    ]
    if task.guesses_weights:
        lines.append(
            "The size of its files is not known: the weights are planned for 5 % above the "
            "estimate."
        )
    if task.architecture.ngram_tables and not fit.settings.ngram_on_gpus:
        locked = ngram_host_bytes(task.architecture, task.precision, fit.gpus)
        lines.append(
            f"Its tables of n-grams are looked up in main memory, where vLLM locks {size(locked)} "
            "for them: each GPU's part is rounded up to a power of two."
        )
    if fit.settings.measured_bytes:
        lines.append(_measured(fit.settings.measured_bytes))
    if costly := task.requirements.why_no_drafts(NAME, candidate.model):
        lines.append(costly)
    at_once = _at_once(task, fit)
    if at_once < speed.concurrency:
        lines.append(f"But at most {at_once:,} at once have room: the others would queue.")
    if known is not None and known.quality is not None:
        figure = known.quality
        lines.append(f"{figure.benchmark}: {figure.score:g} % ({figure.by}, {figure.date}).")
    if known is not None and known.avoid:
        lines.append(f"Better avoided: {known.avoid}")
    spare = len(machine.gpus) - fit.gpus
    if spare:
        lines.append(f"Free for a second copy, or another model: {counted(spare, 'GPU')}.")
    return tuple(lines)


def _measured(more: int) -> str:
    """What an earlier start showed, which the KV cache of this plan counts with."""
    return (
        f"Measured here (stoker up): vLLM takes {size(abs(more))} {'more' if more > 0 else 'less'} "
        "of each GPU beside the KV cache than is predicted elsewhere."
    )


def _on_gpus(count: int) -> str:
    return "on one GPU" if count == 1 else f"on each of {count} GPUs"


def _arguments(task: _Task, fit: _Fit) -> tuple[Argument, ...]:
    machine, candidate, requirements = task.machine, task.candidate, task.requirements
    settings, memory = fit.settings, fit.memory
    found = [
        Argument(
            "max_model_len", settings.max_model_len, _context_reason(candidate, requirements, fit)
        ),
        Argument(
            "gpu_memory_utilization", settings.gpu_memory_utilization, _share_reason(machine, fit)
        ),
        Argument(
            "max_num_seqs",
            settings.max_num_seqs,
            f"For {requirements.concurrency} at once, each with a title beside it; more would take "
            "memory for sampling and graphs.",
        ),
        Argument(
            "max_num_batched_tokens",
            settings.max_num_batched_tokens,
            f"Prompts are read in pieces of {settings.max_num_batched_tokens:,} tokens, between "
            f"which answers go on; the activations of one take {size(memory.activation_bytes)}.",
        ),
        Argument(
            "tensor_parallel_size",
            settings.tensor_parallel_size,
            _gpus_reason(machine, task.architecture, fit),
        ),
        Argument(
            "enable_prefix_caching",
            True,
            "A chat's next turn repeats all before it, and every agent request its 13,756 tokens "
            "of tools: what was read once is not read again.",
        ),
    ]
    if settings.pipeline_parallel_size > 1:
        stages = settings.pipeline_parallel_size
        layers = math.ceil(task.architecture.num_layers / stages)
        reason = (
            f"{task.architecture.num_layers} layers in {stages} stages of up to {layers}: its "
            f"heads cannot be divided among {fit.gpus} GPUs."
        )
        found.append(Argument("pipeline_parallel_size", stages, reason))
    if settings.kv_cache_dtype != "auto":
        found.append(
            Argument(
                "kv_cache_dtype",
                settings.kv_cache_dtype,
                f"8 bits hold {memory.kv_cache_tokens:,} tokens where 16 would hold half of that.",
            )
        )
    if settings.ngram_on_gpus:
        reason = "Its tables of n-grams, which vLLM would lock in main memory, have no room there."
        found.append(Argument("engram_config", json.dumps({"cpu_offload": False}), reason))
    if machine.capability is not None and machine.capability < _BF16_CAPABILITY:
        reason = f"compute capability {machine.capability / 10:.1f} has no bfloat16."
        found.append(Argument("dtype", "half", reason))
    found += _model_arguments(candidate, task.architecture, fit)
    return tuple(found)


def _context_reason(candidate: Candidate, requirements: Requirements, fit: _Fit) -> str:
    tokens, concurrency = fit.settings.max_model_len, fit.memory.max_concurrency
    holds = f"the cache holds {fit.memory.kv_cache_tokens:,} tokens, {concurrency:.1f} requests"
    if requirements.context is not None:
        return f"As asked for; {holds} of that length."
    if tokens == candidate.model.max_context_tokens:
        return f"All that the model was made for; {holds} of that length."
    return f"{holds[0].upper()}{holds[1:]} of that length at once."


def _share_reason(machine: _Machine, fit: _Fit) -> str:
    budget = size(fit.memory.budget_bytes)
    if machine.utilization >= DEFAULT_UTILIZATION:
        return f"vLLM's own default: {budget} of {size(machine.total_bytes)}."
    return (
        f"{budget} of {size(machine.total_bytes)}: what is free, less {size(_SPARE_BYTES)} for "
        "CUDA itself. vLLM refuses to start with less free than its share."
    )


def _gpus_reason(machine: _Machine, architecture: Architecture, fit: _Fit) -> str:
    gpus = fit.settings.tensor_parallel_size
    if gpus == 1:
        return f"One {machine.spec.label} holds it."
    each = size(fit.memory.weights_bytes)
    heads = architecture.num_attention_heads
    return f"{heads} heads divide by {gpus}; each GPU holds {each} of weights."


def _model_arguments(candidate: Candidate, architecture: Architecture, fit: _Fit) -> list[Argument]:
    """What this model needs: parsers, template, and arguments of its recipe."""
    known, settings = candidate.known, fit.settings
    found: list[Argument] = []
    if is_multimodal(architecture) and not settings.vision:
        reason = "Code is text: the encoder for images would take memory from the context."
        found.append(Argument("language_model_only", True, reason))
    if known is None:
        return found
    if known.tool_call_parser:
        reason = "Agent mode calls tools, and without a parser vLLM answers such requests with 400."
        found.append(Argument("enable_auto_tool_choice", True, reason))
        reason = f"The format in which {known.name} writes tool calls."
        found.append(Argument("tool_call_parser", known.tool_call_parser, reason))
    if known.reasoning_parser:
        reason = "Keeps what the model thinks apart from what it answers."
        found.append(Argument("reasoning_parser", known.reasoning_parser, reason))
    if known.chat_template:
        reason = "The template that its tool calls need, which vLLM ships."
        found.append(Argument("chat_template", known.chat_template, reason))
    if settings.num_speculative_tokens and known.speculative is not None:
        reason = (
            f"Its own extra layer guesses {settings.num_speculative_tokens} tokens ahead, which "
            f"the GPU checks at once: about {1 / fit.speed.token_s.expected:.0f} tokens/s instead "
            f"of {1 / fit.plain_speed.token_s.expected:.0f}, where as many guesses are right as in "
            "published figures. For many users it is left out."
        )
        found.append(Argument("speculative_config", json.dumps(dict(known.speculative)), reason))
    found += [
        Argument(name.replace("-", "_"), value, f"{known.name}'s recipe for vLLM asks so.")
        for name, value in known.vllm_args.items()
        if name.replace("-", "_") not in {argument.name for argument in found}
    ]
    return found
