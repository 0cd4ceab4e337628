"""Models are found by the names that people use, and their facts agree with each other."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from stoker.data.facts import load_table
from stoker.errors import StokerError, UsageError
from stoker.host import known_gpus
from stoker.models import (
    KnownModel,
    architecture_from_config,
    find_known_model,
    known_models,
    may_fill_in,
    smallest_that_fill_in,
)
from stoker.planning.parameter_count import count_weights
from stoker.tokens.infill import FORMS

CONFIGS = Path(__file__).parents[2] / "fixtures" / "hf_configs"
MODELS = known_models()
#: What the issue names: what people of this project started with, and today's.
NAMED = [
    "TheBloke/deepseek-coder-6.7B-instruct-AWQ",
    "Qwen/Qwen2.5-Coder-1.5B-Instruct",
    "Qwen/Qwen2.5-Coder-3B-Instruct",
    "Qwen/Qwen2.5-Coder-7B-Instruct",
    "Qwen/Qwen2.5-Coder-14B-Instruct",
    "Qwen/Qwen2.5-Coder-32B-Instruct",
    "Qwen/CodeQwen1.5-7B-Chat-AWQ",
    "bigcode/starcoder2-3b",
    "codellama/CodeLlama-13b-Instruct-hf",
    "microsoft/Phi-3.5-mini-instruct",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct",
    "Qwen/Qwen3-Coder-480B-A35B-Instruct",
    "Qwen/Qwen3-Coder-Next",
    "Qwen/Qwen3.6-27B",
    "Qwen/Qwen3.6-35B-A3B",
    "Qwen/Qwen3.8-27B",
    "Qwen/Qwen3.8-Flash-Next",
    "openai/gpt-oss-20b",
    "openai/gpt-oss-120b",
    "google/gemma-4-26B-A4B-it",
    "google/gemma-4-31B-it",
    "zai-org/GLM-4.7-Flash",
    "zai-org/GLM-5.2",
    "zai-org/GLM-5.3",
    "zai-org/GLM-5.3-Flash",
    "XiaomiMiMo/MiMo-V2.5",
    "inclusionAI/Ling-3.0-flash",
    "MiniMaxAI/MiniMax-M2.7",
    "deepseek-ai/DeepSeek-V4-Flash",
    "deepseek-ai/DeepSeek-V4-Pro",
    "deepseek-ai/DeepSeek-V4.1-Flash",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16",
]
#: config.json copies of other precisions of a model: the shape is the same.
SAME_SHAPE = {
    "Qwen/Qwen3-32B": "Qwen--Qwen3-32B-FP8",
    "Qwen/Qwen3-30B-A3B": "Qwen--Qwen3-30B-A3B-FP8",
    "Qwen/Qwen3-30B-A3B-Instruct-2507": "Qwen--Qwen3-30B-A3B",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct": "Qwen--Qwen3-30B-A3B",
    "Qwen/Qwen3-235B-A22B-Instruct-2507": "Qwen--Qwen3-235B-A22B",
    "Qwen/Qwen3.6-27B": "nvidia--Qwen3.6-27B-NVFP4",
    "Qwen/Qwen3.6-35B-A3B": "nvidia--Qwen3.6-35B-A3B-NVFP4",
    "Qwen/Qwen3.8-27B": "Qwen--Qwen3.5-27B",
    "google/gemma-4-31B-it": "nvidia--Gemma-4-31B-IT-NVFP4",
    "google/gemma-4-26B-A4B-it": "google--gemma-4-26B-A4B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama--Meta-Llama-3.1-8B",
    "meta-llama/Llama-3.3-70B-Instruct": "nvidia--Llama-3.1-70B-Instruct-FP8",
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16": (
        "nvidia--NVIDIA-Nemotron-3-Super-120B-A12B-NVFP4"
    ),
}


pytestmark = pytest.mark.usefixtures("home")


def test_there_are_at_least_sixty_from_a_tenth_of_a_billion_to_500_billion() -> None:
    sizes = sorted(model.parameters for model in MODELS)
    assert len(MODELS) >= 60
    assert sizes[0] < 0.2e9
    assert sizes[-1] > 500e9


@pytest.mark.parametrize("name", NAMED)
def test_a_model_that_the_project_promises_is_there(name: str) -> None:
    model, variant = find_known_model(name)
    assert variant.id == name
    assert model.model(variant).id == name


def test_an_alias_finds_a_model_whatever_the_case() -> None:
    model, variant = find_known_model("Qwen2.5-CODER-7b")
    assert model.id == variant.id == "Qwen/Qwen2.5-Coder-7B-Instruct"


def test_an_unknown_model_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UsageError) as caught:
        find_known_model("qwen2.5-coder-8b")
    assert "qwen2.5-coder-7b" in caught.value.why


def test_a_variant_keeps_the_shape_and_names_its_quantization() -> None:
    model, variant = find_known_model("Qwen/Qwen2.5-Coder-7B-Instruct-GGUF")
    served = model.model(variant)
    assert (served.format, served.quantization) == ("gguf", "Q4_K_M")
    assert served.architecture == model.architecture


def test_the_gguf_files_that_stoker_fetches_are_of_models_that_it_knows() -> None:
    for row in load_table("gguf_models")["model"]:
        model, _ = find_known_model(row["id"])
        if "hub" in row:
            sizes = {variant.id: variant.weights_bytes for variant in model.variants}
            assert sizes[row["hub"]["repo"]] == row["size_bytes"]


def test_a_gpu_on_which_a_model_fails_is_one_that_is_known_and_the_reason_is_given() -> None:
    gpus = {spec.name for spec in known_gpus()}
    failures = [model.failures(form.id) for model in MODELS for form in model.weights]
    assert any(failures)
    for named in failures:
        assert set(named) <= gpus
        assert all(named.values())


def test_no_name_means_two_models() -> None:
    names = Counter(
        name.casefold()
        for model in MODELS
        for name in {*model.aliases, *(variant.id for variant in model.weights)}
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_the_users_own_entry_replaces_ours(home: Path) -> None:
    folder = home / "stoker/config"
    folder.mkdir(parents=True)
    (folder / "models.toml").write_text(
        '[[models]]\nid = "openai/gpt-oss-20b"\nparameters_b = 1\nmax_context_tokens = 4096\n'
        'license = "x"\npurposes = ["chat"]\n'
        "config = { num_hidden_layers = 2, hidden_size = 64, num_attention_heads = 2, "
        "vocab_size = 100 }\n"
    )
    model, _ = find_known_model("openai/gpt-oss-20b")
    assert (model.max_context_tokens, model.architecture.num_layers) == (4096, 2)
    assert len(known_models()) == len(MODELS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[models]\n", "line 1"),
        ('[[models]]\nid = "a/b"\n', "purposes"),
        ('[[models]]\nid = "a/b"\npurposes = ["sing"]\n', "sing"),
    ],
)
def test_a_broken_file_of_the_user_is_named_with_what_is_wrong(
    home: Path, text: str, expected: str
) -> None:
    folder = home / "stoker/config"
    folder.mkdir(parents=True)
    (folder / "models.toml").write_text(text)
    with pytest.raises(StokerError, match=r"models\.toml") as caught:
        known_models()
    assert expected in caught.value.why


def _published(model: KnownModel) -> Path | None:
    name = SAME_SHAPE.get(model.id, model.id.replace("/", "--"))
    path = CONFIGS / f"{name}.json"
    return path if path.exists() else None


@pytest.mark.parametrize(
    "model", [m for m in MODELS if _published(m)], ids=lambda model: model.name
)
def test_the_shape_is_that_of_the_published_config(model: KnownModel) -> None:
    path = _published(model)
    assert path is not None
    published = architecture_from_config(json.loads(path.read_text()))
    # The context of an instruction-tuned release, and how many extra blocks predict further
    # tokens, may differ from the base model's.
    ours = replace(
        model.architecture,
        max_position_embeddings=published.max_position_embeddings,
        num_mtp_layers=published.num_mtp_layers,
    )
    assert ours == published


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_shape_has_as_many_parameters_as_the_publisher_states(model: KnownModel) -> None:
    counted = count_weights(model.architecture).total
    # What sees pictures or hears is not in the language model's shape: under a billion in all of
    # these. Publishers round the rest.
    senses = 1e9 if "ConditionalGeneration" in (model.architecture.class_name or "") else 0
    assert counted <= model.parameters * 1.04
    assert counted >= model.parameters * 0.96 - senses


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_entry_is_complete_and_its_units_are_sane(model: KnownModel) -> None:
    arch = model.architecture
    assert model.id.count("/") == 1
    assert model.license
    assert model.purposes
    assert 0.1e9 <= model.parameters <= 3e12
    assert 4096 <= model.max_context_tokens <= 16_000_000
    assert arch.class_name
    assert arch.attention
    assert model.sources["config"].startswith("https://")
    if model.active_parameters is not None:
        assert arch.experts is not None
        assert model.active_parameters < model.parameters
    else:
        assert arch.experts is None
    if "agent" in model.purposes:
        assert model.tool_call_parser
        assert model.max_context_tokens >= 32_768
    assert all(not name.startswith("-") for name in model.vllm_args)
    if model.speculative is not None:
        assert model.speculative.keys() <= {"method", "model", "num_speculative_tokens"}
        assert 1 <= int(model.speculative["num_speculative_tokens"]) <= 16
    if model.quality is not None:
        assert 0 < model.quality.score <= 100
        assert model.quality.source.startswith("https://")
        assert len(model.quality.date) >= 7
    for variant in model.variants:
        assert variant.id.count("/") == 1
        assert (variant.format == "gguf") == (variant.file is not None)


def test_the_bits_of_a_variant_are_those_of_its_format() -> None:
    bits = {"awq": 4, "gptq": 4, "int4": 4, "nvfp4": 4, "mxfp4": 4, "int8": 8, "fp8": 8, "mxfp8": 8}
    wrong = [
        variant.id
        for model in known_models()
        for variant in model.variants
        if variant.bits is not None and bits.get(variant.format, variant.bits) != variant.bits
    ]
    assert not wrong


def test_a_model_that_fills_in_has_a_form_that_is_known_and_a_source() -> None:
    facts = {model.name: model.infill for model in known_models() if model.infill}
    assert facts["qwen2.5-coder-0.5b"].form == facts["qwen3-coder-30b-a3b"].form == "qwen"
    assert {fact.form for fact in facts.values()} <= {form.name for form in FORMS}
    assert all(fact.source.startswith("https://") for fact in facts.values())
    made_for_it = {model.name for model in known_models() if "completion" in model.purposes}
    assert facts.keys() <= made_for_it


def test_the_smallest_that_fill_in_are_named_first_without_those_to_avoid() -> None:
    names = [model.name for model in smallest_that_fill_in(3)]
    assert names == ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b", "qwen2.5-coder-7b"]


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("qwen2.5-coder-7b", True),
        ("Qwen/Qwen2.5-Coder-7B-Instruct-AWQ", True),
        ("qwen3-8b", False),
        ("Qwen/Qwen3-8B", False),
        ("my-own-tune", True),
    ],
)
def test_a_chat_model_with_the_tokens_is_known_not_to_be_made_for_filling_in(
    name: str, may: bool
) -> None:
    assert may_fill_in(name) is may
