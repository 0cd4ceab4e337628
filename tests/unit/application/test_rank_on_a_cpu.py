"""On a machine with no GPU: the largest model that fits and that somebody would wait for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker.application import rank
from stoker.errors import StokerError, UsageError
from stoker.host import Cpu, Host, Memory, find_gpu
from stoker.models import Model, architecture_from_config
from stoker.models.gguf_catalogue import entries
from stoker.planning import Candidate, Plan, Requirements

GIB = 1024**3
MODELS = {entry.model.id: entry.model for entry in entries()}
CODERS = [m for m in MODELS.values() if m.id not in ("qwen2.5-coder-3b",)]


FOLDER = Model(
    id="smollm2-135m-instruct",
    format="safetensors",
    origin="file",
    served_name="smollm2",
    weights_bytes=269_060_552,
    max_context_tokens=8192,
    architecture=architecture_from_config(
        {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "num_hidden_layers": 30,
            "hidden_size": 576,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "intermediate_size": 1536,
            "vocab_size": 49152,
            "max_position_embeddings": 8192,
        }
    ),
)


def host(cores: int, available_gib: float) -> Host:
    memory = Memory(total_bytes=int(available_gib * GIB), available_bytes=int(available_gib * GIB))
    return Host("Linux", "x86_64", Cpu("any", cores, cores, avx2=True), memory)


def best(machine: Host, models: list[Model], requirements: Requirements | None = None) -> Plan:
    return rank(machine, [Candidate(model) for model in models], requirements or Requirements())[0]


@pytest.mark.parametrize(
    ("cores", "available_gib", "chosen"),
    [
        (2, 22, "qwen2.5-coder-0.5b"),
        (4, 6, "qwen2.5-coder-1.5b"),
        (8, 14, "qwen2.5-coder-1.5b"),
        (32, 60, "qwen2.5-coder-7b"),
        (2, 0.9, "smollm2-135m"),
    ],
)
def test_the_largest_model_that_answers_fast_enough_is_chosen(
    cores: int, available_gib: float, chosen: str
) -> None:
    assert best(host(cores, available_gib), CODERS).model.id == chosen


def test_a_small_cpu_gives_the_coder_its_whole_context_and_two_slots() -> None:
    plan = best(host(2, 22), CODERS)
    assert (plan.max_model_len, plan.parallel) == (32_768, 2)
    assert plan.argument("n_ctx") == 65_536


def test_less_memory_gives_a_shorter_context_and_never_more_than_the_budget() -> None:
    plan = best(host(2, 1.3), [MODELS["qwen2.5-coder-0.5b"]])
    assert 2048 <= plan.max_model_len < 32_768
    assert plan.memory.total_bytes <= plan.memory.budget_bytes


def test_where_16_bits_are_too_wide_the_cache_takes_8_and_the_context_stays() -> None:
    plan = best(host(2, 1.5), [MODELS["qwen2.5-coder-0.5b"]])
    assert (plan.max_model_len, plan.argument("cache_type_k")) == (32_768, 8)
    assert best(host(2, 22), CODERS).argument("cache_type_k") == 1


def test_a_model_that_was_named_is_planned_though_it_is_slow() -> None:
    plan = best(host(2, 22), [MODELS["qwen2.5-coder-7b"]])
    assert any("slow" in reason for reason in plan.reasons)


def test_the_first_source_of_a_model_wins() -> None:
    model = MODELS["qwen2.5-coder-0.5b"]
    plan = best(host(2, 22), [replace(model, origin="hub"), replace(model, origin="disk")])
    assert plan.model.origin == "hub"


def test_a_context_beyond_the_models_own_is_refused_with_its_limit() -> None:
    with pytest.raises(UsageError) as caught:
        best(host(2, 22), [MODELS["smollm2-135m"]], Requirements(context=10_000))
    assert "8,192" in caught.value.why


def test_a_context_that_does_not_fit_is_refused_with_what_it_needs() -> None:
    with pytest.raises(StokerError, match="does not fit") as caught:
        best(host(2, 2), [MODELS["qwen2.5-coder-7b"]], Requirements(context=32_768))
    assert "4.4 GiB of weights" in caught.value.why


def test_an_engine_that_the_system_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="vllm"):
        best(replace(host(2, 22), system="Darwin"), CODERS, Requirements(engine="vllm"))


def test_vllm_is_planned_on_a_cpu_where_it_is_asked_for() -> None:
    plan = best(host(2, 22), [FOLDER], Requirements(engine="vllm"))
    assert (plan.engine, plan.max_model_len, plan.parallel) == ("vllm", 8192, 2)
    # 30 layers, 3 KV heads of 64, keys and values of 2 bytes: 23,040 bytes a token. vLLM itself
    # keeps one block of 128 tokens.
    assert plan.memory.kv_cache_bytes == 23_040 * (8192 * 2 + 128)
    assert plan.argument("kv_cache_memory_bytes") == plan.memory.kv_cache_bytes


def test_vllm_on_a_cpu_names_what_it_lacks() -> None:
    with pytest.raises(StokerError, match="does not fit in memory for vLLM"):
        best(host(2, 3), [FOLDER], Requirements(engine="vllm"))
    with pytest.raises(UsageError, match="was made for"):
        best(host(2, 22), [FOLDER], Requirements(engine="vllm", context=100_000))


def test_nothing_to_choose_from_is_reported() -> None:
    with pytest.raises(StokerError, match="no model to choose from"):
        best(host(2, 22), [])


def test_every_argument_has_a_reason() -> None:
    plan = best(host(2, 22), CODERS)
    assert all(argument.reason.endswith(".") for argument in plan.arguments)


def test_what_the_plan_keeps_of_lost_conversations_fits_beside_it() -> None:
    plan = best(host(2, 3), CODERS)
    kept = plan.argument("cache_ram_mib")
    assert isinstance(kept, int)
    assert plan.memory.total_bytes + kept * 1024**2 <= plan.memory.budget_bytes


def test_the_plan_states_how_many_conversations_stay_warm() -> None:
    """Those in slots, and as many whole ones more as the memory beside the plan holds."""
    plan = best(host(2, 3), CODERS)
    kept = next(each for each in plan.arguments if each.name == "cache_ram_mib")
    assert isinstance(kept.value, int)
    full_bytes = plan.memory.kv_cache_bytes // plan.parallel
    warm = plan.parallel + kept.value * 1024**2 // full_bytes
    assert f"{warm:,} full ones of {plan.max_model_len:,} tokens stay warm" in kept.reason


def test_a_gpu_that_llama_cpp_was_not_built_for_is_left_out_and_named() -> None:
    spec = find_gpu("RTX 4090")
    machine = replace(host(8, 30), gpus=(spec.gpu(),))
    candidate = Candidate(MODELS["qwen2.5-coder-7b"])
    with_it = rank(machine, [candidate], Requirements(), spec)[0]
    without = rank(
        machine, [candidate], Requirements(cpu_only_engines=frozenset({"llama.cpp"})), spec
    )[0]
    assert (with_it.gpus, with_it.argument("n_gpu_layers")) == (1, -1)
    assert (without.gpus, without.argument("n_gpu_layers")) == (0, 0)
    assert any("RTX 4090 stays unused" in reason for reason in without.reasons)


def test_layers_that_do_not_fit_on_the_gpu_stay_on_the_cpu() -> None:
    spec = find_gpu("RTX 4060 8GB")
    machine = replace(host(8, 30), gpus=(spec.gpu(),))
    plan = rank(machine, [Candidate(MODELS["qwen2.5-coder-14b"])], Requirements(), spec)[0]
    layers = plan.argument("n_gpu_layers")
    assert isinstance(layers, int)
    assert 0 < layers < 48


def test_more_slots_than_the_engine_has_are_refused_with_its_limit() -> None:
    with pytest.raises(UsageError, match="500 requests"):
        best(host(32, 60), [MODELS["smollm2-135m"]], Requirements(parallel=500))


def test_vllm_on_a_cpu_runs_only_what_its_kernels_multiply() -> None:
    with pytest.raises(StokerError, match="can't run") as caught:
        best(host(2, 22), [replace(FOLDER, quantization="fp8")], Requirements(engine="vllm"))
    assert "awq" in caught.value.why


def test_vllm_on_a_cpu_estimates_the_size_of_files_that_are_not_here() -> None:
    plan = best(host(2, 22), [replace(FOLDER, weights_bytes=None)], Requirements(engine="vllm"))
    # The shape says neither whether the output head is the embedding (28 of 163 M weights).
    assert plan.memory.weights_bytes == pytest.approx(269_060_552 + 2 * 49_152 * 576, rel=0.01)


@pytest.mark.parametrize(
    ("model", "engine", "other"),
    [(MODELS["smollm2-135m"], "vllm", "llama.cpp"), (FOLDER, "llama.cpp", "vllm")],
)
def test_named_model_that_the_engine_can_not_read_is_reported(
    model: Model, engine: str, other: str
) -> None:
    with pytest.raises(UsageError, match=f"{engine} can't serve {model.id}") as caught:
        best(host(2, 22), [model], Requirements(engine=engine, named=True))
    assert f"--engine {other}" in caught.value.fix
