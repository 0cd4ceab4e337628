"""Tables for docs/reference/models.md, from the catalogue and the planner.

cog calls these functions; no figure is typed by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from stoker.application import HostFacts, LaunchRequest, choose
from stoker.application.completion_choice import CompletionCost
from stoker.engines.vllm.vllm_memory import (
    VllmMemory,
    VllmSettings,
    kv_bytes_per_token,
    longest_context,
    state_bytes_per_sequence,
    visible_bytes,
    vllm_memory,
)
from stoker.engines.vllm.vllm_quantization_support import why_not
from stoker.host import Cpu, GpuSpec, Host, Memory, find_gpu, imagined_host
from stoker.models import KnownModel, Purpose, Variant, find_known_model, known_models
from stoker.models.gguf_catalogue import entries
from stoker.models.sources.download_store import gigabytes
from stoker.planning.quantization import precision_of


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table with a blank line after it."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n"


def avoid() -> str:
    """Models that the catalogue advises against, and why."""
    rows = [[f"`{m.name}`", m.avoid] for m in _by_size(m for m in known_models() if m.avoid)]
    return markdown(["model", "why"], rows)


def scores() -> str:
    """The coding scores of models, grouped by benchmark."""
    scored = [(m, m.quality) for m in known_models() if m.quality]
    scored.sort(key=lambda pair: (pair[1].benchmark, pair[1].score), reverse=True)
    rows = [
        [
            quality.benchmark,
            f"`{model.name}`",
            parameters(model),
            f"{quality.score:g} %",
            quality.by,
            f"[{quality.date}]({quality.source})",
        ]
        for model, quality in scored
    ]
    return markdown(["benchmark", "model", "parameters", "score", "measured by", "source"], rows)


def known() -> str:
    """Every model of the catalogue."""
    rows = [
        [
            f"`{m.name}`",
            f"[{m.id}](https://huggingface.co/{m.id})",
            parameters(m),
            context(m.max_context_tokens),
            ", ".join(m.purposes),
            m.tool_call_parser or "",
            m.license,
            m.confidence,
        ]
        for m in _by_size(known_models())
    ]
    head = ["name", "on the hub", "parameters", "context", "for", "tool parser", "licence", "facts"]
    return markdown(head, rows)


def gguf_files() -> str:
    """The GGUF files whose size and SHA-256 are pinned."""
    rows = [
        [
            f"`{entry.model.id}`",
            f"`{entry.filename}`",
            gigabytes(entry.size_bytes),
            entry.model.license or "",
            "yes" if entry.automatic else "no: the licence forbids commercial use",
        ]
        for entry in entries()
    ]
    return markdown(["name", "file", "size", "licence", "chosen by itself"], rows)


def package_index() -> str:
    """The models that a package index carries, and the packages to allow on a mirror."""
    rows = [
        [
            f"`{entry.model.id}`",
            gigabytes(entry.size_bytes),
            ", ".join(f"`{p.package}=={p.version}`" for p in entry.package_index.parts),
        ]
        for entry in entries()
        if entry.package_index
    ]
    return markdown(["name", "size", "packages"], rows)


def parameters(model: KnownModel) -> str:
    """``30.5B, 3.3B used`` or ``7.62B``."""
    total = _billions(model.parameters)
    if model.active_parameters is None:
        return total
    return f"{total}, {_billions(model.active_parameters)} used"


def context(tokens: int) -> str:
    """Tokens for display: 32K, 1M."""
    return f"{tokens // 1024}K" if tokens < 1024**2 else f"{tokens // 1024**2}M"


def named(name: str) -> KnownModel:
    """The model of the catalogue that ``name`` means."""
    return find_known_model(name)[0]


def _billions(count: int) -> str:
    return f"{count / 1e9:.3g}B" if count < 1e12 else f"{count / 1e12:.3g}T"


def _by_size(models: Iterable[KnownModel]) -> list[KnownModel]:
    return sorted(models, key=lambda m: m.parameters)


# --- computed with the planner -----------------------------------------------------------------

#: The models of the page's memory tables: weights that people download, by name and format.
SMALL = (
    ("qwen2.5-coder-1.5b", "awq"),
    ("qwen2.5-coder-3b", "awq"),
    ("qwen3-4b", "awq"),
    ("qwen3-4b-2507", "fp8"),
    ("qwen3.5-4b", "awq"),
    ("qwen2.5-coder-7b", "awq"),
    ("deepseek-coder-6.7b", "awq"),
    ("codeqwen1.5-7b", "awq"),
    ("qwen3-8b", "awq"),
    ("qwen3.5-9b", "awq"),
    ("qwen2.5-coder-14b", "awq"),
)
CACHES = (
    "qwen2.5-coder-7b",
    "deepseek-coder-6.7b",
    "phi-3.5-mini",
    "qwen3-8b",
    "qwen3.5-9b",
    "gpt-oss-20b",
    "devstral-small-2",
    "gemma-4-31b",
    "qwen3-coder-30b-a3b",
    "qwen3.6-35b-a3b",
    "nemotron-3-nano",
    "glm-4.7-flash",
    "llama-3.3-70b",
    "minimax-m2.7",
    "deepseek-v3.2",
)
LARGE = (
    "qwen2.5-coder-7b",
    "qwen2.5-coder-14b",
    "devstral-small-2",
    "qwen3.6-27b",
    "qwen3.6-35b-a3b",
    "qwen3-coder-next",
    "gpt-oss-120b",
    "qwen3.5-122b-a10b",
    "minimax-m2.7",
    "deepseek-v4-flash",
    "qwen3-coder-480b-a35b",
    "glm-5.2",
)
#: Typical machines, from the smallest to the largest: GPU, how many, GB of main memory.
HARDWARE = (
    (None, 0, 8),
    (None, 0, 16),
    (None, 0, 64),
    ("RTX 4060 8GB", 1, 16),
    ("RTX 4060 8GB", 1, 32),
    ("RTX 3060 12GB", 1, 32),
    ("RTX 4080", 1, 32),
    ("RTX 4090", 1, 64),
    ("RTX 5090", 1, 64),
    ("RTX 3090", 2, 64),
    ("L40S", 1, 128),
    ("A100 40GB", 1, 128),
    ("H100", 1, 256),
    ("MI300X", 1, 256),
    ("H200", 8, 2048),
    ("Apple M4 16GB", 1, 16),
    ("Apple M4 Max 64GB", 1, 64),
)
#: Those of them that the README shows.
_EIGHT = (HARDWARE[1], HARDWARE[4], HARDWARE[5], *HARDWARE[7:9], HARDWARE[12], *HARDWARE[14:17:2])
#: Those of them that the guide to two models shows.
_WITH_COMPLETION = (HARDWARE[1], HARDWARE[4], HARDWARE[7], HARDWARE[12])
PURPOSES: tuple[Purpose, ...] = ("agent", "chat", "completion")
GIB = 1024**3
#: From the smallest machine to the largest: GPUs of one kind, and how many of them.
MACHINES = (
    ("RTX 3060 12GB", 1),
    ("RTX 4060 Ti 16GB", 1),
    ("RTX 3090", 1),
    ("RTX 5090", 1),
    ("L40S", 1),
    ("H100 SXM", 1),
    ("RTX PRO 6000", 1),
    ("H200", 1),
    ("H100 SXM", 2),
    ("H200", 2),
    ("H200", 4),
    ("H200", 8),
    ("B200", 8),
)
DEVELOPERS, TYPICAL_CONTEXT = 10, 32_768


def hardware() -> str:
    """What ``stoker up`` chooses on each machine, for each purpose."""
    rows = []
    for gpu, count, main_gb in HARDWARE:
        spec = find_gpu(gpu) if gpu else None
        rows.append(
            [_machine(spec, count, main_gb)]
            + [_first(spec, count, main_gb, purpose) for purpose in PURPOSES]
        )
    return markdown(["machine", *PURPOSES], rows)


def first_choices() -> str:
    """What ``stoker up`` chooses for an agent on eight machines from small to large."""
    rows = []
    for gpu, count, main_gb in HARDWARE:
        if (gpu, count, main_gb) in _EIGHT:
            spec = find_gpu(gpu) if gpu else None
            first = _first(spec, count, main_gb, "agent")
            rows.append([_machine(spec, count, main_gb), first])
    return markdown(["machine", "`stoker up` starts for agent mode"], rows)


def _machine(spec: GpuSpec | None, count: int, main_gb: int) -> str:
    if spec is None:
        return f"no GPU, {main_gb} GB"
    if spec.unified or spec.kind == "datacenter":
        return f"{count} x {spec.label}" if count > 1 else spec.label
    return (f"{count} x " if count > 1 else "") + f"{spec.label}, {main_gb} GB main memory"


def _first(spec: GpuSpec | None, count: int, main_gb: int, purpose: Purpose) -> str:
    """What ``stoker up`` chooses for one purpose."""
    plan = choose(LaunchRequest(purpose=purpose), _idle(spec, count, main_gb)).plan
    form = (plan.model.quantization or "bf16").upper()
    speed = f", {plan.decode_tokens_per_s:.0f} tokens/s" if plan.decode_tokens_per_s else ""
    engine = {"vllm": "vLLM"}.get(plan.engine, plan.engine)
    return f"`{plan.model.served_name}` {form}, {engine}, {context(plan.max_model_len)}{speed}"


def _idle(spec: GpuSpec | None, count: int, main_gb: int) -> HostFacts:
    """An imagined machine with nothing else running on it."""
    memory = Memory(main_gb * GIB, int(0.9 * main_gb * GIB))
    cpu = Cpu("imagined", cores=8, threads=16, avx2=True)
    bare = Host(system="Linux", arch="x86_64", cpu=cpu, memory=memory, hub_reachable=True)
    host = replace(imagined_host(spec, count), cpu=cpu, memory=memory) if spec else bare
    return HostFacts(host, spec, here=False)


def completion_costs() -> str:
    """What ``--completion auto`` adds on machines from small to large, and what the chat pays."""
    rows = []
    for gpu, count, main_gb in _WITH_COMPLETION:
        spec = find_gpu(gpu) if gpu else None
        choice = choose(LaunchRequest(completion="auto"), _idle(spec, count, main_gb))
        added = choice.completion
        if added is None or added.plan is None or added.cost is None:
            raise ValueError(f"{gpu} has no completion engine: show another machine")
        where = "GPU" if added.plan.gpus else "CPU"
        rows.append(
            [
                _machine(spec, count, main_gb),
                f"`{choice.plan.model.served_name}`",
                f"`{added.plan.model.served_name}` on the {where}",
                _price(added.cost),
            ]
        )
    return markdown(["machine", "chat", "completion", "costs the chat"], rows)


def _price(cost: CompletionCost) -> str:
    alone, beside = cost.tokens_per_s_alone, cost.tokens_per_s_beside
    if cost.instead_of:
        return f"a smaller model than `{cost.instead_of}`"
    if cost.context_tokens:
        return f"{cost.context_tokens:,} tokens of context"
    if not alone or not beside or alone == beside:
        return "nothing"
    return f"{alone:.0f} to {beside:.0f} tokens/s while a suggestion is computed"


def fits_in(gpu: str) -> str:
    """The memory that small models leave on one GPU with vLLM, and the longest context."""
    spec = find_gpu(gpu)
    rows = []
    for name, form in SMALL:
        model, variant = named(name), _variant(named(name), form)
        memory = _memory(model, variant, spec, 1, 2048, 1)
        lengths = [_longest(model, memory, cache) for cache in ("auto", "fp8")]
        left = memory.kv_cache_bytes
        rows.append(
            [
                f"`{name}`",
                form.upper(),
                _gib(memory.weights_bytes),
                _gib(left) if left > 0 else "none",
                *(f"{length:,}" if length >= 2048 else "does not fit" for length in lengths),
                "yes" if "agent" in model.purposes else "no",
            ]
        )
    head = ["model", "weights", "GiB", "left for the cache, GiB", "longest context"]
    return markdown([*head, "with an FP8 cache", "calls tools"], rows)


def _longest(model: KnownModel, memory: VllmMemory, cache: str) -> int:
    settings = replace(_settings(1, 2048, 1), kv_cache_dtype=cache)
    return longest_context(
        model.architecture, settings, memory.kv_cache_bytes, model.max_context_tokens
    )


def caches(context_tokens: int) -> str:
    """The cache memory of one token and of a whole conversation."""
    settings = _settings(1, context_tokens, 1)
    rows = []
    for name in CACHES:
        arch = named(name).architecture
        each = kv_bytes_per_token(arch, settings)
        whole = each * context_tokens + state_bytes_per_sequence(arch, settings)
        rows.append(
            [
                f"`{name}`",
                parameters(named(name)),
                _kinds(named(name)),
                f"{each / 1024:.0f} KiB",
                _gib(whole),
            ]
        )
    head = [
        "model",
        "parameters",
        "layers that keep a cache",
        "KV a token",
        f"GiB at {context(context_tokens)}",
    ]
    return markdown(head, rows)


def machines() -> str:
    """The smallest machine on which ten developers share each model."""
    rows = []
    for name in LARGE:
        model = named(name)
        found = next(iter(_homes(model)), None)
        if found is None:
            rows.append([f"`{name}`", parameters(model), "", "", "more than eight B200", ""])
            continue
        variant, spec, count, memory = found
        label = spec.label if count == 1 else f"{count} x {spec.label}"
        rows.append(
            [
                f"`{name}`",
                parameters(model),
                variant.format.upper(),
                _gib(memory.weights_bytes * count),
                label,
                f"{memory.kv_cache_tokens // 1024:,}K",
            ]
        )
    head = [
        "model",
        "parameters",
        "weights",
        "GiB of weights",
        "smallest machine",
        "tokens in the cache",
    ]
    return markdown(head, rows)


def _homes(model: KnownModel) -> Iterator[tuple[Variant, GpuSpec, int, VllmMemory]]:
    """Machines on which the model serves the developers, the smallest first."""
    forms = [v for v in model.weights if v.format not in ("gguf", "int4")]
    # Fewer bits first; a publisher's own 4-bit weights before those of others.
    forms.sort(key=lambda v: precision_of(v.format, model.architecture).expert_bits)
    for gpu, count in MACHINES:
        spec = find_gpu(gpu)
        if model.architecture.num_attention_heads % count:
            continue
        for variant in forms:
            if variant.made_for not in (None, spec.vendor) or why_not(variant.format, spec):
                continue
            memory = _memory(model, variant, spec, count, TYPICAL_CONTEXT, 2 * DEVELOPERS)
            # A developer works with a third of the window on average, and half of them at a time.
            if memory.kv_cache_tokens >= DEVELOPERS / 2 * TYPICAL_CONTEXT:
                yield variant, spec, count, memory


def _memory(
    model: KnownModel, variant: Variant, spec: GpuSpec, gpus: int, tokens: int, requests: int
) -> VllmMemory:
    return vllm_memory(
        model.architecture,
        precision_of(variant.format, model.architecture),
        _settings(gpus, tokens, requests),
        visible_bytes(spec.memory_usable_bytes or spec.memory_bytes or 0),
        variant.weights_bytes,
    )


def _settings(gpus: int, tokens: int, requests: int) -> VllmSettings:
    return VllmSettings(max_model_len=tokens, max_num_seqs=requests, tensor_parallel_size=gpus)


def _variant(model: KnownModel, form: str) -> Variant:
    return next(variant for variant in model.weights if variant.format == form)


def _kinds(model: KnownModel) -> str:
    groups = [f"{g.num_layers} {g.kind}" for g in model.architecture.attention]
    return ", ".join(groups) + f" of {model.architecture.num_layers}"


def _gib(count: float) -> str:
    return f"{count / 1024**3:.1f}"
