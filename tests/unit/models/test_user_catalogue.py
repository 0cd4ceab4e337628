"""A model of one's own goes into the user's file and reads back with the same shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stoker.errors import StokerError, UsageError
from stoker.models import Model, add_model, architecture_from_config, find_known_model
from stoker.models.model import Architecture

CONFIGS = Path(__file__).parents[2] / "fixtures" / "hf_configs"


pytestmark = pytest.mark.usefixtures("home")


def model(shape: Architecture, **changes: object) -> Model:
    facts: dict[str, object] = {
        "id": "me/mine",
        "format": "safetensors",
        "origin": "hub",
        "served_name": "mine",
        "parameters": 1_500_000_000,
        "architecture": shape,
        "max_context_tokens": 4096,
        "license": "MIT",
    }
    return Model(**(facts | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_a_published_shape_survives_the_file(path: Path) -> None:
    shape = architecture_from_config(json.loads(path.read_text()))
    add_model(model(shape))
    found, _ = find_known_model("me/mine")
    assert found.architecture == shape
    assert (found.parameters, found.license, found.purposes) == (1_500_000_000, "MIT", ("chat",))


def test_a_window_for_each_layer_keeps_its_places() -> None:
    # Phi-4-mini-flash: TOML has no null, so layers without a window are written as 0.
    hybrid = {
        "model_type": "phi4flash",
        "architectures": ["Phi4FlashForCausalLM"],
        "num_hidden_layers": 8,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "vocab_size": 100,
        "intermediate_size": 128,
        "mb_per_layer": 2,
        "sliding_window": [None, 512, None, 512, None, None, None, None],
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
    }
    shape = architecture_from_config(hybrid)
    add_model(model(shape))
    assert find_known_model("me/mine")[0].architecture == shape


def test_adding_again_replaces_and_others_stay() -> None:
    shape = architecture_from_config(json.loads((CONFIGS / "Qwen--Qwen3-8B.json").read_text()))
    add_model(model(shape))
    add_model(model(shape, id="me/other"))
    _, file = add_model(model(shape, max_context_tokens=8192))
    assert find_known_model("me/mine")[0].max_context_tokens == 8192
    assert find_known_model("me/other")[0].max_context_tokens == 4096
    assert file.read_text().count("[[models]]") == 2


def test_a_template_with_tools_makes_it_good_for_agent_mode() -> None:
    shape = architecture_from_config(json.loads((CONFIGS / "Qwen--Qwen3-8B.json").read_text()))
    add_model(model(shape, chat_template="{% if tools %}{% endif %}", quantization="awq"))
    found, variant = find_known_model("me/mine")
    assert found.purposes == ("chat", "agent")
    assert variant.format == "awq"


def test_the_size_of_the_files_is_kept_as_it_is() -> None:
    shape = architecture_from_config(json.loads((CONFIGS / "Qwen--Qwen3-8B.json").read_text()))
    add_model(model(shape, weights_bytes=6_100_000_000, quantization="int8"))
    assert find_known_model("me/mine")[1].weights_bytes == 6_100_000_000


def test_weights_whose_size_cannot_be_predicted_are_refused() -> None:
    shape = architecture_from_config(json.loads((CONFIGS / "Qwen--Qwen3-8B.json").read_text()))
    with pytest.raises(UsageError, match="quantized with bitsandbytes") as refused:
        add_model(model(shape, quantization="bitsandbytes"))
    assert "nvfp4" in refused.value.fix


def test_a_gguf_file_needs_no_entry() -> None:
    shape = architecture_from_config(json.loads((CONFIGS / "Qwen--Qwen3-8B.json").read_text()))
    with pytest.raises(UsageError, match="needs no entry"):
        add_model(model(shape, format="gguf"))


def test_a_model_without_a_size_is_refused() -> None:
    with pytest.raises(StokerError, match="cannot be added"):
        add_model(model(None))  # type: ignore[arg-type]
