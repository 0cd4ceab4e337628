"""What a Hugging Face folder says of its model, and what is said of a broken one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.models.test_hub import CONFIG, safetensors

from stoker import models
from stoker.errors import StokerError
from stoker.models import safetensors_dir

CONFIGS = Path(__file__).parents[2] / "fixtures" / "hf_configs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "Tiny-Coder"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / "tokenizer.json").write_text("{}")
    (path / "model.safetensors").write_bytes(safetensors({"embed": [100, 64], "q": [64, 64]}))
    return path


def shard(folder: Path) -> None:
    """The same weights in two files with an index."""
    (folder / "model.safetensors").unlink()
    names = {"embed": "model-00001-of-00002.safetensors", "q": "model-00002-of-00002.safetensors"}
    (folder / names["embed"]).write_bytes(safetensors({"embed": [100, 64]}))
    (folder / names["q"]).write_bytes(safetensors({"q": [64, 64]}))
    index = {"metadata": {}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_a_folder_is_read_without_its_weights(folder: Path) -> None:
    model = models.load(folder)
    assert (model.id, model.served_name, model.format) == (
        "Tiny-Coder",
        "tiny-coder",
        "safetensors",
    )
    assert model.parameters == 100 * 64 + 64 * 64
    assert model.weights_bytes == (folder / "model.safetensors").stat().st_size
    assert model.max_context_tokens == 4096
    assert model.quantization is None
    assert model.chat_template is None
    assert model.architecture is not None
    assert model.architecture.class_name == "Qwen3ForCausalLM"


def test_shards_add_up(folder: Path) -> None:
    shard(folder)
    model = models.load(folder)
    assert model.parameters == 100 * 64 + 64 * 64


@pytest.mark.parametrize(
    ("files", "template"),
    [
        ({"chat_template.jinja": "{{ jinja }}"}, "{{ jinja }}"),
        ({"tokenizer_config.json": '{"chat_template": "{{ one }}"}'}, "{{ one }}"),
        (
            {
                "tokenizer_config.json": json.dumps(
                    {
                        "chat_template": [
                            {"name": "default", "template": "{{ plain }}"},
                            {"name": "tool_use", "template": "{{ tools }}"},
                        ]
                    }
                )
            },
            "{{ tools }}",
        ),
        ({"tokenizer_config.json": "{}"}, None),
    ],
)
def test_the_chat_template_is_found(
    folder: Path, files: dict[str, str], template: str | None
) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    assert models.load(folder).chat_template == template


def _container(*weights: dict[str, Any]) -> dict[str, Any]:
    groups = {f"group_{number}": {"weights": group} for number, group in enumerate(weights)}
    return {"quant_method": "compressed-tensors", "config_groups": groups}


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "awq"),
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "nvfp4"),
        (
            {"text_config": {"quantization_config": {"quant_method": "gptq", "bits": 8}}},
            "int8",
        ),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "gptq-3bit"),
        ({"quantization_config": _container({"num_bits": 8, "type": "int"})}, "int8"),
        ({"quantization_config": _container({"num_bits": 8, "type": "float"})}, "fp8"),
        ({"quantization_config": _container({"num_bits": 4, "type": "int"})}, "int4"),
        (
            {"quantization_config": _container({"num_bits": 4, "type": "float", "group_size": 16})},
            "nvfp4",
        ),
        (
            {"quantization_config": _container({"num_bits": 4, "type": "float", "group_size": 32})},
            "mxfp4",
        ),
        ({"quantization_config": _container({"num_bits": 4}, {"num_bits": 8})}, "int8"),
        ({"quantization_config": _container({"num_bits": 2})}, "compressed-tensors"),
        ({"quantization_config": _container()}, "compressed-tensors"),
        ({"quantization_config": {"quant_method": "auto-round", "bits": 4}}, "int4"),
        ({}, None),
    ],
)
def test_the_quantization_is_named(config: dict[str, Any], name: str | None) -> None:
    assert safetensors_dir.quantization(config) == name


@pytest.mark.parametrize(
    ("rope", "context"),
    [
        (None, 32768),
        ({"rope_type": "default"}, 32768),
        ({"type": "linear", "factor": 2.0}, 65536),
        # Qwen's own instructions for YaRN, as vLLM derives it.
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
        # Llama 3.1 states the scaled length itself.
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}, 32768),
        # Numbers written as text, as some fine-tunes ship them.
        ({"type": "linear", "factor": "2.0"}, 65536),
        ({"type": "yarn", "factor": "4", "original_max_position_embeddings": "8192"}, 32768),
        # DeepSeek V3 states the scaled length and the original one.
        ({"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}, 163840),
        ({"type": "yarn", "factor": 4.0}, 131072),
        ({"type": "dynamic", "factor": 2.0}, 65536),
        # Hunyuan: what alpha scales is in the length already.
        ({"type": "dynamic", "alpha": 1000.0, "factor": 1.0}, 32768),
        ({"type": "linear", "factor": 4.0, "original_max_position_embeddings": 8192}, 32768),
        # Phi-3: factors for each dimension, and for some files a factor beside them.
        ({"type": "longrope", "factor": 32.0, "short_factor": [1.0], "long_factor": [2.0]}, 32768),
        ({"type": "su", "factor": 32.0}, 32768),
        ({"rope_type": "yarn", "factor": None}, 32768),
        # transformers 5 gives each kind of layer its own.
        (
            {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "yarn", "factor": 4.0},
            },
            131072,
        ),
    ],
)
def test_the_context_includes_the_rope_scaling_that_ships(
    rope: dict[str, Any] | None, context: int
) -> None:
    config = {"max_position_embeddings": 32768, "rope_scaling": rope}
    assert safetensors_dir.max_context_tokens(config) == context


@pytest.mark.parametrize(
    ("config", "context"),
    [
        # vllm-project/vllm pull request 33958: 131,072 are 16,384 scaled by 8.
        ({"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 4),
        (
            {
                "model_type": "gemma3",
                "text_config": {
                    "num_hidden_layers": 1,
                    "max_position_embeddings": 4,
                    "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0}},
                },
            },
            4,
        ),
        ({"model_type": "qwen3", "rope_parameters": {"rope_type": "linear", "factor": 8.0}}, 32),
        # The smallest of all lengths (derive_max_model_len_and_key in vLLM).
        ({"model_type": "chatglm", "seq_length": 3}, 3),
        (
            {
                "thinker_config": {
                    "text_config": {"num_hidden_layers": 1, "max_position_embeddings": 7}
                },
                "max_position_embeddings": 4,
            },
            7,
        ),
    ],
)
def test_the_context_of_a_family_is_the_one_that_vllm_derives(
    config: dict[str, Any], context: int
) -> None:
    assert safetensors_dir.max_context_tokens({"max_position_embeddings": 4, **config}) == context


@pytest.mark.parametrize("factor", ["two", [2.0], -2.0, "nan", 1e308, 10**400, {}])
def test_a_rope_factor_that_is_none_is_reported_as_an_error(factor: Any) -> None:
    rope = {"rope_type": "linear", "factor": factor}
    with pytest.raises(StokerError, match="scales the context by"):
        safetensors_dir.max_context_tokens({"max_position_embeddings": 4096, "rope_scaling": rope})


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*--*.json")), ids=lambda path: path.stem)
def test_published_configs_have_a_context(path: Path) -> None:
    config = json.loads(path.read_text())
    if path.stem.endswith("_hf_quant"):
        return
    context = safetensors_dir.max_context_tokens(config)
    assert context is not None
    assert 8192 <= context <= 1 << 24


def remove(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def write(name: str, content: str | bytes) -> Any:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (remove("config.json"), "neither a config.json"),
        (write("config.json", "{"), "not valid JSON"),
        (write("config.json", "[]"), "not a JSON object"),
        (write("config.json", json.dumps({**CONFIG, "hidden_size": None})), "hidden_size"),
        (
            write("config.json", json.dumps({**CONFIG, "num_hidden_layers": -2})),
            "num_hidden_layers",
        ),
        (remove("tokenizer.json"), "no tokenizer"),
        (remove("model.safetensors"), "no weights"),
        (write("model.safetensors", b""), "header claims"),
        (write("model.safetensors", b"\xff" * 8 + b"{}"), "header claims"),
        (write("model.safetensors", (2).to_bytes(8, "little") + b"[]"), "header is damaged"),
        (write("model.safetensors", safetensors({"q": [64, 64]})[:-1]), "is incomplete"),
        (write("model.safetensors.index.json", '{"weight_map": {"a": "b"}}'), "are missing"),
        (write("model.safetensors.index.json", '{"weight_map": {"a": "../b"}}'), "does not name"),
        (
            write("model.safetensors.index.json", '{"weight_map": {"lost": "model.safetensors"}}'),
            "no file has: lost",
        ),
    ],
)
def test_a_broken_folder_is_named_with_what_is_wrong(
    folder: Path, damage: Any, expected: str
) -> None:
    damage(folder)
    with pytest.raises(StokerError) as error:
        models.load(folder)
    assert expected in str(error.value)
    assert error.value.fix


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_weight_file_gives_a_model_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, at: int
) -> None:
    content = bytearray(safetensors({"embed": [10, 8]}))
    content[at : at + len(junk)] = junk
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / "tokenizer.json").write_text("{}")
    (path / "model.safetensors").write_bytes(content)
    try:
        models.load(path)
    except StokerError as error:
        assert error.fix
