"""GGUF files of a few hundred kilobytes with all tensors that llama.cpp needs.

llama.cpp loads them and lays out its memory as for a real model of the architecture. The names and
shapes are those that b11549 names as missing or wrong when it loads a file. Those in ``MODELS`` are
filled with zeros. Those in ``DRAFTING`` have a head that drafts tokens, and weights with which they
write, draft and are sometimes right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

Shapes = dict[str, tuple[int, ...]]
Fact = int | float | list[int] | list[bool]

_WORDS = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "a", "b"]
_BASE: dict[str, Fact] = {
    "context_length": 8192,
    "embedding_length": 64,
    "feed_forward_length": 128,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.layer_norm_rms_epsilon": 1e-5,
}
#: Heads of 16: queries are 64 wide, keys and values of two heads 32.
ATTENTION: Shapes = {
    "attn_norm.weight": (64,),
    "attn_q.weight": (64, 64),
    "attn_k.weight": (64, 32),
    "attn_v.weight": (64, 32),
    "attn_output.weight": (64, 64),
}
DENSE: Shapes = {
    "ffn_norm.weight": (64,),
    "ffn_gate.weight": (64, 128),
    "ffn_up.weight": (64, 128),
    "ffn_down.weight": (128, 64),
}
_GEMMA: Shapes = {"post_attention_norm.weight": (64,), "post_ffw_norm.weight": (64,)}
_GPT_OSS: Shapes = {
    "post_attention_norm.weight": (64,),
    "attn_sinks.weight": (4,),
    "attn_output.bias": (64,),
    "ffn_gate_inp.weight": (64, 4),
    "ffn_gate_inp.bias": (4,),
    "ffn_gate_exps.weight": (64, 64, 4),
    "ffn_up_exps.weight": (64, 64, 4),
    "ffn_down_exps.weight": (64, 64, 4),
    "ffn_gate_exps.bias": (64, 4),
    "ffn_up_exps.bias": (64, 4),
    "ffn_down_exps.bias": (64, 4),
}
_LATENT: Shapes = {
    "attn_norm.weight": (64,),
    "attn_q_a_norm.weight": (32,),
    "attn_kv_a_norm.weight": (32,),
    "attn_q_a.weight": (64, 32),
    "attn_q_b.weight": (32, 96),
    "attn_kv_a_mqa.weight": (64, 40),
    "attn_k_b.weight": (16, 32, 4),
    "attn_v_b.weight": (32, 16, 4),
    "attn_output.weight": (64, 64),
}
_MAMBA: Shapes = {
    "attn_norm.weight": (64,),
    "ssm_in.weight": (64, 256),
    "ssm_conv1d.weight": (4, 128),
    "ssm_conv1d.bias": (128,),
    "ssm_x.weight": (128, 40),
    "ssm_dt_norm.weight": (8,),
    "ssm_dt.weight": (8, 128),
    "ssm_dt.bias": (128,),
    "ssm_b_norm.weight": (16,),
    "ssm_c_norm.weight": (16,),
    "ssm_a": (16, 128),
    "ssm_d": (128,),
    "ssm_out.weight": (128, 64),
}
_MAMBA2: Shapes = {
    "ssm_in.weight": (64, 296),
    "ssm_conv1d.weight": (4, 160),
    "ssm_conv1d.bias": (160,),
    "ssm_dt.bias": (8,),
    "ssm_a": (1, 8),
    "ssm_d": (1, 8),
    "ssm_out.weight": (128, 64),
}
_GATED_DELTA: Shapes = {
    "attn_norm.weight": (64,),
    "attn_qkv.weight": (64, 256),
    "attn_gate.weight": (64, 128),
    "ssm_conv1d.weight": (4, 256),
    "ssm_dt.bias": (8,),
    "ssm_a": (8,),
    "ssm_ba.weight": (64, 16),
    "ssm_norm.weight": (16,),
    "ssm_out.weight": (128, 64),
}
_QWEN3_NEXT: Shapes = {
    "post_attention_norm.weight": (64,),
    "ffn_gate_inp.weight": (64, 4),
    "ffn_gate_exps.weight": (64, 64, 4),
    "ffn_up_exps.weight": (64, 64, 4),
    "ffn_down_exps.weight": (64, 64, 4),
    "ffn_gate_inp_shexp.weight": (64,),
    "ffn_gate_shexp.weight": (64, 64),
    "ffn_up_shexp.weight": (64, 64),
    "ffn_down_shexp.weight": (64, 64),
}
_HEADS: dict[str, Fact] = {"attention.key_length": 16, "attention.value_length": 16}
_STATE: dict[str, Fact] = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 128,
    "ssm.state_size": 16,
    "ssm.time_step_rank": 8,
}


@dataclass(frozen=True)
class TinyModel:
    """An architecture with its facts, and the tensors of each of its layers."""

    architecture: str
    facts: dict[str, Fact]
    layers: list[Shapes]
    #: The output head, where the architecture may not take the embedding for it.
    head: Shapes = field(default_factory=dict)


_GEMMA_LAYER = ATTENTION | DENSE | _GEMMA
_HEAD_NORMS: Shapes = {"attn_q_norm.weight": (16,), "attn_k_norm.weight": (16,)}
_GEMMA3_LAYER = _GEMMA_LAYER | _HEAD_NORMS
_WIDE = {name: shape for name, shape in DENSE.items() if name != "ffn_norm.weight"}
_PHI3_LAYER: Shapes = {
    "attn_norm.weight": (64,),
    "attn_qkv.weight": (64, 128),
    "attn_output.weight": (64, 64),
    "ffn_norm.weight": (64,),
    "ffn_up.weight": (64, 256),
    "ffn_down.weight": (128, 64),
}
#: The query of the layers that attend comes with a gate of the same width.
_QWEN3_NEXT_FULL = ATTENTION | _HEAD_NORMS | _QWEN3_NEXT | {"attn_q.weight": (64, 128)}
MODELS = [
    TinyModel("gemma2", {**_HEADS, "attention.sliding_window": 512}, [_GEMMA_LAYER] * 4),
    TinyModel("gemma3", {**_HEADS, "attention.sliding_window": 512}, [_GEMMA3_LAYER] * 7),
    TinyModel(
        "gpt-oss",
        {
            **_HEADS,
            "attention.sliding_window": 128,
            "expert_count": 4,
            "expert_used_count": 2,
            "expert_feed_forward_length": 64,
        },
        [ATTENTION | _GPT_OSS] * 4,
        head={"output.weight": (64, len(_WORDS))},
    ),
    TinyModel(
        "deepseek2",
        {
            "attention.head_count_kv": 1,
            "attention.key_length": 40,
            "attention.value_length": 32,
            "attention.key_length_mla": 24,
            "attention.value_length_mla": 16,
            "attention.kv_lora_rank": 32,
            "attention.q_lora_rank": 32,
            "rope.dimension_count": 8,
            "leading_dense_block_count": 4,
            "expert_count": 4,
            "expert_used_count": 2,
            "expert_shared_count": 1,
            "expert_feed_forward_length": 64,
        },
        [_LATENT | DENSE] * 4,
    ),
    TinyModel(
        "jamba",
        {**_STATE, "attention.head_count_kv": [0, 2, 0, 0]},
        [_MAMBA | DENSE, ATTENTION | DENSE, _MAMBA | DENSE, _MAMBA | DENSE],
    ),
    TinyModel(
        "cohere2",
        {
            **_HEADS,
            "attention.sliding_window": 512,
            "attention.layer_norm_epsilon": 1e-5,
            "logit_scale": 1.0,
        },
        [ATTENTION | _WIDE] * 4,
    ),
    TinyModel(
        "phi3", {"attention.sliding_window": 512, "rope.dimension_count": 16}, [_PHI3_LAYER] * 4
    ),
    TinyModel(
        "falcon-h1",
        {**_HEADS, **_STATE, "ssm.group_count": 1},
        [ATTENTION | _MAMBA2 | _WIDE | {"ffn_norm": (64,)}] * 4,
    ),
    TinyModel(
        "qwen3next",
        {
            **_HEADS,
            **_STATE,
            "ssm.group_count": 4,
            "expert_count": 4,
            "expert_used_count": 2,
            "expert_feed_forward_length": 64,
            "expert_shared_feed_forward_length": 64,
        },
        [_GATED_DELTA | _QWEN3_NEXT] * 3 + [_QWEN3_NEXT_FULL],
    ),
]


#: Qwen3.5 and its successors: the head attends, whatever the place of its block would mean.
_QWEN35: Shapes = {**_WIDE, "post_attention_norm.weight": (64,)}
_QWEN35_STATE = {name: shape for name, shape in _GATED_DELTA.items() if name != "ssm_ba.weight"}
_QWEN35_STATE |= {"ssm_alpha.weight": (64, 8), "ssm_beta.weight": (64, 8), **_QWEN35}
_QWEN35_FULL = ATTENTION | _HEAD_NORMS | _QWEN35 | {"attn_q.weight": (64, 128)}
_GLM: Shapes = {
    "post_attention_norm.weight": (64,),
    "ffn_gate_inp.weight": (64, 4),
    "exp_probs_b.bias": (4,),
    "ffn_gate_exps.weight": (64, 64, 4),
    "ffn_up_exps.weight": (64, 64, 4),
    "ffn_down_exps.weight": (64, 64, 4),
    "ffn_gate_shexp.weight": (64, 64),
    "ffn_up_shexp.weight": (64, 64),
    "ffn_down_shexp.weight": (64, 64),
}
_GLM_LAYER = ATTENTION | _GLM
_GLM_DENSE = ATTENTION | _WIDE | {"post_attention_norm.weight": (64,)}
_NEXTN: Shapes = {
    "nextn.eh_proj.weight": (128, 64),
    "nextn.enorm.weight": (64,),
    "nextn.hnorm.weight": (64,),
    "nextn.shared_head_norm.weight": (64,),
}
DRAFTING = [
    TinyModel(
        "qwen35",
        {
            **_HEADS,
            **_STATE,
            "ssm.group_count": 4,
            "rope.dimension_count": 16,
            "rope.dimension_sections": [2, 3, 3, 0],
            "nextn_predict_layers": 1,
        },
        [*[_QWEN35_STATE] * 3, _QWEN35_FULL, _QWEN35_FULL | _NEXTN],
        head={"output.weight": (64, len(_WORDS))},
    ),
    TinyModel(
        "glm4moe",
        {
            **_HEADS,
            "leading_dense_block_count": 1,
            "expert_count": 4,
            "expert_used_count": 2,
            "expert_shared_count": 1,
            "expert_feed_forward_length": 64,
            "nextn_predict_layers": 1,
        },
        [_GLM_DENSE, _GLM_LAYER, _GLM_LAYER, _GLM_LAYER | _NEXTN],
        head={"output.weight": (64, len(_WORDS))},
    ),
]

#: What a tensor of a name and a shape holds.
Weights = Callable[[str, tuple[int, ...]], np.ndarray]


def zeros(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weights of a model that is only loaded."""
    del name
    return np.zeros(shape, dtype=np.float32)


def writing_weights(seed: int) -> Weights:
    """Weights with which the next token depends mostly on the last one, and a little on all.

    The head projects mostly the embedding, so that it is right now and then.
    """
    random = np.random.default_rng(seed)

    def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) == 1:
            ones = -1.0 if name.endswith("ssm_a") else float(not name.endswith(".bias"))
            return np.full(shape, ones, dtype=np.float32)
        values = random.standard_normal(shape)
        if name.endswith("eh_proj.weight"):
            values = np.concatenate([np.eye(64), 0.02 * values[:, 64:]], axis=1)
        elif name.startswith("blk."):
            values *= 0.08
        return values.astype(np.float32)

    return weights


def write_tiny_gguf(model: TinyModel, folder: Path, weights: Weights = zeros) -> Path:
    """Write ``model`` into ``folder``."""
    path = folder / f"tiny-{model.architecture}.gguf"
    writer = GGUFWriter(path, model.architecture)
    for name, value in {"block_count": len(model.layers), **_BASE, **model.facts}.items():
        key = f"{model.architecture}.{name}"
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_float32(key, value)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(_WORDS)
    writer.add_token_scores([0.0] * len(_WORDS))
    writer.add_token_types([2, 3, 3, *[6] * 256, 1, 1])
    shapes = {"token_embd.weight": (64, len(_WORDS)), "output_norm.weight": (64,), **model.head}
    for number, layer in enumerate(model.layers):
        shapes |= {f"blk.{number}.{name}": shape for name, shape in layer.items()}
    for name, shape in shapes.items():
        writer.add_tensor(name, weights(name, tuple(reversed(shape))))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
