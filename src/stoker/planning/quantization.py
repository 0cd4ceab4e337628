"""How many bits each part of a model takes in each published form of its weights.

"4 bits" is never 4 bits throughout: scales come on top, and publishers keep the parts that suffer
most in a wider type. Where the shape does not show which parts those are, what most checkpoints of
the catalogue do is taken (read from their ``quantization_config`` and ``hf_quant_config.json``).
"""

from __future__ import annotations

from dataclasses import dataclass

from stoker.errors import UsageError
from stoker.models import Architecture, Model
from stoker.planning.parameter_count import WeightCount, count_weights

#: Bits of one weight with its share of the scales. int4 of 128 share a 16-bit scale (and AWQ and
#: GPTQ a 4-bit zero); fp8 in blocks of 128 x 128 share a 32-bit one; NVFP4 shares 8 bits among 16
#: (NVIDIA, NVFP4 blog 2025-06) and MXFP4 and MXFP8 8 bits among 32 (OCP MX specification 1.0).
_BITS = {
    "bf16": 16.0,
    "fp16": 16.0,
    "fp8": 8.0 + 32 / 128**2,
    "int8": 8.0,
    "int4": 4.0 + 16 / 128,
    "awq": 4.0 + 20 / 128,
    "gptq": 4.0 + 20 / 128,
    "nvfp4": 4.5,
    "mxfp4": 4.25,
    "mxfp8": 8.25,
    "fp4-fp8": 4.25,
}
#: The same for GGUF files, wide embeddings and all: Qwen2.5-Coder's published files.
_GGUF_BITS = {"Q4_K_M": 4.9, "Q4_0": 4.6, "Q4_1": 5.0, "Q5_K_M": 5.7, "Q6_K": 6.6, "Q8_0": 8.5}
_GGUF_BITS |= {"F16": 16.0, "BF16": 16.0, "MXFP4": 4.6}
#: The type in which the matrices are multiplied, and the type of ``Gpu.flops`` that bounds it.
#: Weights of 4 bits with 16-bit activations are widened first.
_MATH = {
    "bf16": "fp16",
    "fp16": "fp16",
    "fp8": "fp8",
    "mxfp8": "fp8",
    "int8": "int8",
    "nvfp4": "fp4",
    "mxfp4": "mxfp4",
    "fp4-fp8": "mxfp4",
}
#: Other names for the same thing, in files and in use.
_ALIASES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "w4a16": "int4",
    "w8a8": "int8",
    "w4a8": "int4",
    "4bit": "int4",
    "int4 autoround": "int4",
    "autoround": "int4",
    "fp4": "nvfp4",
    "gptq_marlin": "gptq",
    "awq_marlin": "awq",
    "modelopt_fp4": "nvfp4",
}


@dataclass(frozen=True, slots=True)
class Precision:
    """Bits of the weights by part, and the type of the arithmetic."""

    name: str
    attention_bits: float
    dense_bits: float
    shared_bits: float
    expert_bits: float
    #: Embedding and output head.
    table_bits: float = 16.0
    #: Embeddings of n-grams.
    ngram_bits: float = 16.0
    #: fp16, fp8, fp4, mxfp4 or int8, or ``widened``: what the narrowest part is multiplied in.
    math: str = "fp16"

    def math_of(self, bits: float) -> str:
        """The type in which a part of ``bits`` bits is multiplied."""
        if bits >= 16:
            return "fp16"
        return "fp8" if bits == 8.0 and self.math != "int8" else self.math

    def weight_bytes(self, count: WeightCount) -> float:
        """All weights, in bytes."""
        tables = count.embedding * (1 if count.tied else 2) + count.per_layer_embedding
        bits = (
            tables * self.table_bits
            + count.ngram_embedding * self.ngram_bits
            + count.routers * 16
            + (count.attention + count.recurrent) * self.attention_bits
            + count.dense * self.dense_bits
            + count.shared_experts * self.shared_bits
            + count.experts * self.expert_bits
        )
        return bits / 8


def precision_of(quantization: str | None, architecture: Architecture) -> Precision:
    """The precision that ``quantization`` means for a model of this shape.

    Raises ``UsageError`` for a form that is not known.
    """
    asked = (quantization or "bf16").casefold()
    name = _ALIASES.get(asked, asked)
    if name not in _BITS:
        raise UsageError(
            f"The quantization {quantization!r} is not known.",
            f"Known quantizations: {', '.join(_BITS)}.",
            "Use one of those.",
        )
    bits, math = _BITS[name], _MATH.get(name, "widened")
    kept = _kept_bits(name, bits, architecture)
    return Precision(
        name=name,
        attention_bits=kept,
        dense_bits=8.0 if name == "fp4-fp8" else bits,
        shared_bits=kept,
        expert_bits=bits,
        ngram_bits=_ngram_bits(name, bits),
        math=math,
    )


def weights_bytes(model: Model) -> int | None:
    """The size of a model's weights: as published, else estimated; ``None`` where it can't be."""
    if model.weights_bytes is not None:
        return model.weights_bytes
    if model.format == "gguf":
        bits = _GGUF_BITS.get((model.quantization or "").upper())
        return int(model.parameters * bits / 8) if model.parameters and bits else None
    if model.architecture is None:
        return None
    try:
        precision = precision_of(model.quantization, model.architecture)
    except UsageError:
        return None
    return int(precision.weight_bytes(count_weights(model.architecture)))


def _ngram_bits(name: str, bits: float) -> float:
    """Tables of n-grams are in 8 bits beside narrower parts: Qwen3.8-Flash-Next's with one scale
    (its FP8 and nvidia's NVFP4 form), DeepSeek-V4.1-Flash's with one for 32."""
    if bits >= 16:
        return 16.0
    return _BITS["mxfp8"] if name in ("mxfp8", "fp4-fp8") else 8.0


def _kept_bits(name: str, bits: float, architecture: Architecture) -> float:
    """Bits of attention, recurrent layers and shared experts."""
    routed, hybrid = architecture.experts is not None, bool(architecture.recurrent)
    if name == "fp4-fp8":
        return 8.0
    if name == "mxfp4" and routed:
        return 16.0  # gpt-oss: only the experts are quantized
    if name == "nvfp4" and hybrid:
        return 8.0  # nvidia/Qwen3.6-27B-NVFP4 keeps these in fp8
    if name in ("nvfp4", "int4") and routed:
        return 16.0  # nvidia/MiniMax-M2.5-NVFP4 and Kimi K2.5 leave out self_attn
    return bits
