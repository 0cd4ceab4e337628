"""Read measured rows: what was run, on which hardware, and the result.

The files under ``data/`` name the source of every row. Other files with the same columns can be
read as well. An unknown model or GPU is reported, never guessed.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from stoker.engines.vllm.vllm_memory import (
    VllmSettings,
    is_multimodal,
    max_concurrency,
    visible_bytes,
    vllm_memory,
)
from stoker.engines.vllm.vllm_speed import (
    LARGEST_GRAPH_TOKENS,
    Efficiency,
    Hardware,
    Limits,
    ServingLoad,
    Traffic,
    load_of,
    times,
)
from stoker.errors import StokerError
from stoker.host import GpuSpec, find_gpu
from stoker.models import Architecture, architecture_from_config, find_known_model
from stoker.planning.parameter_count import count_weights
from stoker.planning.quantization import Precision, precision_of

DATA = Path(__file__).parent / "data"
CONFIGS = Path(__file__).parents[1] / "tests" / "fixtures" / "hf_configs"
#: The files' names of GPUs that the catalogue names differently.
_GPUS = {
    "b200_sxm": "B200",
    "b300_sxm": "B300",
    "h100_sxm": "H100",
    "h200_sxm": "H200",
    "a100_sxm": "A100 80GB",
    "l40s": "L40S",
    "A100-80": "A100 80GB",
    "A100-40": "A100 40GB",
    "H100-80": "H100",
    "RTX4060-8GB": "RTX 4060",
    "RTX3090": "RTX 3090",
    "RTX5090": "RTX 5090",
    "StrixHalo": "Strix Halo 128GB",
    "RTX A6000": "RTX A6000",
    "RTX 3060 12GB": "RTX 3060 12GB",
    "GB10 DGX Spark": "GB10",
    "DGX Spark GB10": "GB10",
    "RTX PRO 6000": "RTX PRO 6000 Blackwell",
}
#: Short names in the files, and the configuration or catalogue entry that has the same shape.
_MODELS = {
    "NVIDIA-Nemotron-3-Nano-30B-A3B": "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "Llama-3.1-70B": "nvidia/Llama-3.1-70B-Instruct-FP8",
    "meta-llama/Llama-3.1-70B": "nvidia/Llama-3.1-70B-Instruct-FP8",
    "Llama-3.1-8B": "meta-llama/Meta-Llama-3.1-8B",
    "meta-llama/Llama-3.1-8B": "meta-llama/Meta-Llama-3.1-8B",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama/Meta-Llama-3.1-8B",
    "Qwen2.5-7B": "Qwen/Qwen2.5-Coder-7B-Instruct",
    "Qwen2-7B": "Qwen/Qwen2.5-Coder-7B-Instruct",
    "Qwen2-7B-Instruct": "Qwen/Qwen2.5-Coder-7B-Instruct",
    "Qwen3-235B-A22B": "Qwen/Qwen3-235B-A22B",
    "Qwen3-Coder-30B-A3B": "Qwen/Qwen3-Coder-30B-A3B-Instruct",
    "gemma-4-26B-A4B": "google/gemma-4-26B-A4B",
    "Nemotron-3-Super-120B-A12B": "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8",
    "ThinkingCap-Qwen3.6-27B": "Qwen/Qwen3.6-27B",
}
#: Words in names from which a row's quantization follows.
_QUANTIZATIONS = (
    ("autoround", "int4"),
    ("nvfp4", "nvfp4"),
    ("mxfp4", "mxfp4"),
    ("fp8", "fp8"),
    ("w8a8", "int8"),
    ("w4a", "int4"),
    ("awq", "awq"),
    ("int4", "int4"),
    ("int8", "int8"),
    ("4bit", "int4"),
    ("fp4", "nvfp4"),
    ("bf16", "bf16"),
    ("fp16", "bf16"),
)


@dataclass(frozen=True)
class Setup:
    """A model in a precision on GPUs of one kind."""

    model: str
    architecture: Architecture
    precision: Precision
    gpu: GpuSpec
    gpus: int


@dataclass(frozen=True)
class ServingRow:
    """One measured operating point of a server."""

    setup: Setup
    load: ServingLoad
    hardware: Hardware
    traffic: Traffic
    first_token_s: float | None
    token_s: float | None
    #: Why this row must not be fitted; empty where nothing is wrong with it.
    doubt: str = ""
    limits: Limits = field(default_factory=Limits)

    @property
    def gpu_name(self) -> str:
        """The GPU's name in the catalogue."""
        return self.setup.gpu.name

    def predicted(self, efficiency: Efficiency) -> tuple[float, float]:
        """Seconds to the first token, and for each further one."""
        first_s, token_s, _ = times(
            self.load, self.hardware, self.traffic, efficiency, limits=self.limits
        )
        return first_s, token_s


@cache
def architecture(name: str) -> Architecture:
    """The shape of the model that a row names. Raises ``StokerError`` where it is not known."""
    name = _MODELS.get(name, name)
    for path in (
        CONFIGS / f"{name.replace('/', '--')}.json",
        *CONFIGS.glob(f"*--{name}.json"),
        DATA / "configs" / f"{name}.json",
    ):
        if path.is_file():
            return architecture_from_config(json.loads(path.read_text()))
    return find_known_model(name)[0].architecture


@cache
def gpu(name: str) -> GpuSpec:
    """The GPU that a row names."""
    return find_gpu(_GPUS.get(name, name.replace("_sxm", "").replace("_", " ")))


def quantization(text: str, model: str) -> str:
    """How the weights of a row were stored, in the catalogue's words."""
    lowered = text.casefold()
    if "gpt-oss" in model:
        return "mxfp4"
    named = next((name for word, name in _QUANTIZATIONS if word in lowered), None)
    return named or _declared(model)


@cache
def _declared(model: str) -> str:
    """The quantization in the model's config.json, for rows that do not state one."""
    path = CONFIGS / f"{_MODELS.get(model, model).replace('/', '--')}.json"
    if not path.is_file():
        return "bf16"
    declared = json.loads(path.read_text()).get("quantization_config") or {}
    method = f"{declared.get('quant_method', '')} {declared.get('quant_algo', '')}".casefold()
    return next((name for word, name in _QUANTIZATIONS if word in method), "bf16")


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def _load(
    model: str, quant: str, gpus: int, attention_dp: int, expert_parallel: bool, kv: str
) -> ServingLoad:
    shape = architecture(model)
    return load_of(
        shape,
        precision_of(quant, shape),
        gpus,
        attention_dp=attention_dp,
        expert_parallel=expert_parallel,
        kv_cache_dtype=kv,
    )


def _row(
    model: str,
    quant: str,
    gpu_name: str,
    gpus: int,
    traffic: Traffic,
    first_token_s: float | None,
    token_s: float | None,
    *,
    attention_dp: int = 1,
    expert_parallel: bool = False,
    kv: str = "auto",
    batched: int | None = None,
    graph_tokens: int = LARGEST_GRAPH_TOKENS,
    doubt: str = "",
) -> ServingRow:
    shape, spec = architecture(model), gpu(gpu_name)
    hardware = Hardware.of(spec)
    if hardware is None:
        raise StokerError(f"The rates of {spec.label} are not known.")
    return ServingRow(
        Setup(model, shape, precision_of(quant, shape), spec, gpus),
        _load(model, quant, gpus, attention_dp, expert_parallel, kv),
        hardware,
        traffic,
        first_token_s,
        token_s,
        doubt,
        Limits(
            batched or (8192 if (spec.memory_bytes or 0) >= 70 * GIB else 2048),
            _most_at_once(
                model, quant, spec, gpus, traffic.prompt_tokens + traffic.answer_tokens // 2, kv
            ),
            graph_tokens,
        ),
    )


@cache
def _most_at_once(model: str, quant: str, spec: GpuSpec, gpus: int, tokens: int, kv: str) -> float:
    """How many requests of ``tokens`` the cache holds, with nine tenths of the memory for vLLM.

    Those that run are half written in the mean.
    """
    shape = architecture(model)
    settings = VllmSettings(
        max_model_len=tokens,
        gpu_memory_utilization=0.9,
        tensor_parallel_size=gpus,
        kv_cache_dtype=kv,
    )
    total = visible_bytes(spec.usable_bytes or 0)
    memory = vllm_memory(shape, precision_of(quant, shape), settings, total)
    held = max_concurrency(shape, settings, memory.kv_cache_bytes, tokens)
    return held if held >= 1 else math.inf


def serving_rows(path: Path) -> Iterator[ServingRow | StokerError]:
    """The rows of ``measured_serving.csv``, or why one cannot be used; each measurement once.

    A fifth of them repeat another: the same times, with more digits or divided among ranks.
    """
    seen = set()
    for row in read(path):
        times_ms = (round(float(row[name]), 2) for name in ("silicon_ttft_ms", "silicon_tpot_ms"))
        measurement = (row["model_path"], row["system"], row["precision"], *times_ms)
        if measurement in seen:
            continue
        seen.add(measurement)
        try:
            yield _serving(row)
        except StokerError as problem:
            yield problem


def _serving(row: dict[str, str]) -> ServingRow:
    model, tp = row["model_path"], int(row["tp_size"])
    ranks, gpus = _ranks(row, tp)
    # InferenceMAX draws lengths between 0.8 and 1 of those it names (its README,
    # RANDOM_RANGE_RATIO); the rows of other origin leave `attention_dp_size` empty.
    drawn = 0.9 if row["attention_dp_size"] else 1.0
    traffic = Traffic(
        int(row["batch_size"]) * ranks,
        round(int(row["isl"]) * drawn),
        round(int(row["osl"]) * drawn),
    )
    quant = quantization(row["precision"], model)
    script = _script(row, model)
    return _row(
        model,
        quant,
        row["system"],
        gpus,
        traffic,
        float(row["silicon_ttft_ms"]) / 1e3,
        float(row["silicon_tpot_ms"]) / 1e3,
        attention_dp=gpus // tp,
        expert_parallel=int(row["moe_ep_size"] or 1) > 1 or script.expert_parallel,
        kv=script.kv_cache_dtype,
        batched=script.max_num_batched_tokens,
        graph_tokens=script.max_cudagraph_capture_size,
        doubt=script.doubt or _doubt(row, model, quant, gpus),
    )


@dataclass(frozen=True)
class _Script:
    """What the script that measured a row passed to vLLM; the defaults are vLLM's."""

    kv_cache_dtype: str = "auto"
    max_num_batched_tokens: int | None = None
    max_cudagraph_capture_size: int = LARGEST_GRAPH_TOKENS
    expert_parallel: bool = False
    doubt: str = ""


def _script(row: dict[str, str], model: str) -> _Script:
    """The flags of InferenceMAX's scripts at the time when they started the row's version.

    From the history of SemiAnalysisAI/InferenceX (benchmarks/single_node; 70b_*, removed on
    2025-10-30). The names of rows do not have them, and they changed while the version stayed:
    Kimi K2.5 in 4 bits on a B200 ran vLLM 0.17.0 with experts on whole GPUs and default flags, and
    from 2026-04-20 on (6c3acebfa) without the first and with graphs of 2,048 tokens.
    """
    blackwell, version = row["system"].startswith("b"), row["backend_version"]
    if not row["attention_dp_size"]:
        return _Script()
    if "Llama" in model:
        return _Script("fp8", 8192)
    if "gpt-oss" in model:
        return _Script("fp8" if blackwell else "auto", 8192, 2048)
    tuned = _Script("fp8", 2 * int(row["isl"]), 2048)
    if "MiniMax" in model:
        return _minimax_script(row, tuned)
    if row["system"] != "b200_sxm" or row["precision"] != "fp4" or int(row["moe_ep_size"]) > 1:
        return _Script()
    twice = "two scripts with different flags measured this" if row["tp_size"] == "8" else ""
    return replace(tuned, doubt=twice) if version == "0.17.0" else tuned


def _minimax_script(row: dict[str, str], tuned: _Script) -> _Script:
    if not row["system"].startswith("b"):
        return _Script(expert_parallel=row["system"] == "h200_sxm")
    if row["backend_version"] == "0.17.0":
        off = "FlashInfer's and DeepGEMM's kernels for experts were switched off"
        return _Script(expert_parallel=True, doubt=off)
    # 08bcde8f1, in force until the release of 0.19.
    nightly = row["backend_version"].startswith("nightly") and row["precision"] == "fp4"
    return _Script("fp8") if nightly else tuned


def _ranks(row: dict[str, str], tp: int) -> tuple[int, int]:
    """Groups of GPUs among which a row's requests are divided, and all GPUs.

    Where `attention_dp_size` is given, it only divides the requests: the rows with 2 and 4 repeat
    the times of rows with 1 and so many times the requests, to the millisecond. Where it is empty,
    the experts are on as many GPUs as there are.
    """
    if row["attention_dp_size"]:
        return int(row["attention_dp_size"]), tp
    gpus = max(tp, int(row["moe_tp_size"] or 1) * int(row["moe_ep_size"] or 1))
    return gpus // tp, gpus


def _doubt(row: dict[str, str], model: str, quant: str, gpus: int) -> str:
    """Why a row cannot be right, or empty: such rows are reported and not fitted."""
    shape, spec = architecture(model), gpu(row["system"])
    weights = precision_of(quant, shape).weight_bytes(count_weights(shape)) / gpus
    if weights > (spec.memory_bytes or 0):
        return "the weights do not fit on so few GPUs"
    if not row["attention_dp_size"] and quant == "fp8" and shape.experts is None:
        return "parallelism not stated, times beyond the GPUs' peak rates for the one stated"
    if "gpt-oss" in model and row["batch_size"] == "512":
        return "requests queued for a free sequence: max_num_seqs is not stated"
    return ""


def speed_rows(path: Path) -> Iterator[ServingRow | StokerError]:
    """The rows of ``measured_speed.csv``, or why one cannot be used."""
    for row in read(path):
        try:
            yield from _speed(row)
        except StokerError as problem:
            yield problem


def _speed(row: dict[str, str]) -> Iterator[ServingRow]:
    quant = quantization(row["quant"], row["model"])
    concurrency = int(re.sub(r"\D", "", row["concurrency"]) or 1)
    prompt = int(row["isl"]) if row["isl"].isdigit() else 128
    answer = int(row["osl"]) if row["osl"].isdigit() else 256
    if "ctx" in row["tpot_ms"]:
        fixed, slope = map(float, row["tpot_ms"].removesuffix("*ctx").split("+", 1))
        for context in (1024, 16_384, 65_536):
            traffic = Traffic(1, context - 64, 128)
            token_s = (fixed + slope * context) / 1e3
            yield _row(row["model"], quant, row["gpu"], int(row["n"]), traffic, None, token_s)
        return
    # How long a first token takes follows from the prompt's length, and one of many that came at
    # the same instant waits for all before it.
    comparable = row["isl"].isdigit() and "burst" not in row["note"]
    first = float(row["ttft_ms"]) / 1e3 if row["ttft_ms"] and comparable else None
    yield _row(
        row["model"],
        quant,
        row["gpu"],
        int(row["tp"]),
        Traffic(concurrency, prompt, answer, 0.975 if "prefix hits" in row["note"] else 0.0),
        first,
        _token_s(row, concurrency, first, answer),
        kv="fp8" if "fp8 KV" in row["note"] else "auto",
        doubt="" if row["quant"] != "?" else "quantization not stated",
    )


def _token_s(
    row: dict[str, str], concurrency: int, first_s: float | None, answer: int
) -> float | None:
    """Seconds for a token: as measured, or from the rate of all answers together."""
    if row["tpot_ms"]:
        return float(row["tpot_ms"]) / 1e3
    rate = row["out_tok_s"].removesuffix("/stream")
    if not rate:
        return None
    streams = 1 if row["out_tok_s"].endswith("/stream") else concurrency
    token_s, wait_s = streams / float(rate), (first_s or 0.0) / answer
    # A rate over whole requests has the wait for the first token in it; one of decoding has not.
    return token_s - wait_s if wait_s < token_s / 2 else token_s


# --- memory --------------------------------------------------------------------------------------

#: Minor versions of the times at which rows without one were measured.
_IN_2025, _EARLY_2026 = 10, 21
_MNBT, _SEQS = re.compile(r"(?:mnbt|max-num-batched-tokens) (\d+)"), re.compile(r"seqs (\d+)")
_TOTAL = re.compile(r"total ([\d.]+) GiB")
GIB = 1024**3


@dataclass(frozen=True)
class MemoryRow:
    """One start of vLLM, and the figures for one GPU's memory from its log."""

    setup: Setup
    settings: VllmSettings
    total_bytes: int
    weights_bytes: int | None
    kv_cache_bytes: int | None
    kv_cache_tokens: int | None
    #: Which of the flags that decide the cache are not known; empty where all are.
    unknown: str


def memory_rows(path: Path) -> Iterator[tuple[str, MemoryRow | StokerError]]:
    """The rows of ``measured_memory.csv`` with their names, or why one cannot be used."""
    for row in read(path):
        name = f"{row['gpu']} x{row['tp']} {row['model']} {row['quant']}"
        try:
            yield name, _memory(row)
        except StokerError as problem:
            yield name, problem


def _memory(row: dict[str, str]) -> MemoryRow:
    shape, spec, flags = architecture(row["model"]), gpu(row["gpu"]), row["flags"]
    quant = quantization(row["quant"], row["model"])
    setup = Setup(row["model"], shape, precision_of(quant, shape), spec, int(row["tp"]))
    stated = _TOTAL.search(flags)
    total = int(float(stated[1]) * GIB) if stated else visible_bytes(spec.usable_bytes or 0)
    share = _number(row["gpu_mem_util"])
    length = int(_number(row["max_model_len"]) or 0)
    return MemoryRow(
        setup,
        _settings(row, shape, spec, share, length),
        total,
        _bytes(row["load_gib_per_gpu"]),
        _bytes(row["kv_gib_per_gpu"]),
        int(row["kv_tokens"]) if row["kv_tokens"] not in ("", "0") else None,
        _unknown(row, share),
    )


def _settings(
    row: dict[str, str], shape: Architecture, spec: GpuSpec, share: float | None, length: int
) -> VllmSettings:
    flags = row["flags"]
    large = (spec.memory_bytes or 0) >= 70 * GIB and "A100" not in spec.name
    batched = _MNBT.search(flags)
    # Before its first version of V1, vLLM read prompts whole: as many tokens as the context has.
    whole = row["vllm"].startswith("V0")
    default = length if whole else 8192 if large else 2048
    sequences = _SEQS.search(flags)
    return VllmSettings(
        max_model_len=length or shape.max_position_embeddings or 32_768,
        gpu_memory_utilization=share or 0.92,
        max_num_seqs=int(sequences[1]) if sequences else 1024 if large else 256,
        max_num_batched_tokens=int(batched[1]) if batched else default,
        tensor_parallel_size=int(row["tp"]),
        kv_cache_dtype=row["kv_dtype"] if row["kv_dtype"] != "bf16" else "auto",
        enforce_eager="eager" in flags,
        enable_prefix_caching="no prefix caching" not in flags,
        num_speculative_tokens=3 if flags.startswith("MTP") else 0,
        vision=is_multimodal(shape) and "text-only" not in flags,
        minor_version=_minor_version(row["vllm"]),
    )


def _minor_version(version: str) -> int:
    """The version of a row, or the one of the time that it was measured at."""
    found = re.search(r"0\.(\d+)", version)
    if found:
        return int(found[1])
    return _EARLY_2026 if "2026" in version else _IN_2025


def _unknown(row: dict[str, str], share: float | None) -> str:
    reasons = []
    if share is None:
        reasons.append("gpu_memory_utilization")
    if not _number(row["max_model_len"]):
        reasons.append("max_model_len")
    if row["vllm"].startswith("V0"):
        reasons.append("V0 counts differently")
    if row["vllm"].startswith("V1 2025"):
        reasons.append("max_num_batched_tokens: no release, and V1's defaults were not settled")
    if "connector" in row["flags"]:
        reasons.append("a connector takes memory too")
    if "pull 19312" in row["flags"]:
        reasons.append("its profile ran before memory was counted, by the issue's answer")
    if "inferred" in row["flags"] or "default" in row["max_model_len"]:
        reasons.append("flags inferred by the reporter")
    return ", ".join(reasons)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _bytes(text: str) -> int | None:
    value = _number(text)
    return None if value is None else int(value * GIB)
