"""llama.cpp's speed beside what its developers measured, and what several requests cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker.application import rank
from stoker.engines.llama_cpp.llama_speed import LlamaSpeed, llama_speed
from stoker.errors import StokerError
from stoker.host import Cpu, Host, Memory, find_gpu
from stoker.models import Architecture, Model, architecture_from_config, find_known_model
from stoker.planning import Requirements, candidates_of

GIB = 1024**3
CPU = Cpu("any", 8, 8, avx2=True)


pytestmark = pytest.mark.usefixtures("home")


def llama(kv_heads: int, intermediate: int, vocabulary: int) -> Architecture:
    return architecture_from_config(
        {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "num_hidden_layers": 32,
            "hidden_size": 4096,
            "num_attention_heads": 32,
            "num_key_value_heads": kv_heads,
            "intermediate_size": intermediate,
            "vocab_size": vocabulary,
            "tie_word_embeddings": False,
        }
    )


def speed(name: str, gpu: str, file_gib: float) -> LlamaSpeed:
    shapes = {"llama-2-7b": (32, 11008, 32000), "llama-3-8b": (8, 14336, 128256)}
    shape = llama(*shapes[name]) if name in shapes else find_known_model(name)[0].architecture
    size = int(file_gib * GIB)
    model = Model(name, "gguf", "hub", name, weights_bytes=size, architecture=shape)
    return llama_speed(CPU, find_gpu(gpu), model, gpu_share=1.0, context_tokens=64)


@pytest.mark.parametrize(
    ("name", "gpu", "file_gib", "measured"),
    [
        # https://github.com/ggml-org/llama.cpp/pull/15802
        ("llama-3-8b", "RTX 3090", 4.34, 156),
        # https://github.com/ggml-org/llama.cpp/pull/16834
        ("qwen3-coder-30b-a3b", "RTX 4090", 16.1, 162),
        ("gpt-oss-20b", "RTX 4090", 11.27, 186),
        # https://github.com/ggml-org/llama.cpp/discussions/4167
        ("llama-2-7b", "Apple M1 Max 32GB", 3.56, 61),
        # https://huggingface.co/csabakecskemeti
        ("llama-3-8b", "RTX 5090", 7.95, 143),
    ],
)
def test_one_answer_is_as_quick_as_measured(
    name: str, gpu: str, file_gib: float, measured: float
) -> None:
    assert speed(name, gpu, file_gib).decode_tokens_per_s == pytest.approx(measured, rel=0.18)


def test_eight_answers_at_once_are_as_slow_as_measured() -> None:
    assert 1 / speed("llama-3-8b", "RTX 3090", 4.34).token_s(8) == pytest.approx(73, rel=0.1)


def test_a_further_answer_costs_more_where_it_has_experts_of_its_own() -> None:
    dense = speed("llama-3-8b", "RTX 4090", 4.34)
    routed = speed("qwen3-coder-30b-a3b", "RTX 4090", 16.1)
    assert routed.decode_tokens_per_s > dense.decode_tokens_per_s / 2
    assert routed.further_s > dense.further_s


def test_those_who_find_no_slot_wait_and_too_many_are_refused() -> None:
    host = Host("Linux", "x86_64", Cpu("any", 32, 32, avx2=True), Memory(256 * GIB, 200 * GIB))
    forms = candidates_of([find_known_model("qwen3-coder-30b-a3b")[0]])
    alone, three = (
        rank(host, forms, Requirements(purpose="chat", users=users, named=True))[0]
        for users in (1, 9)
    )
    assert alone.speed is not None
    assert three.speed is not None
    assert three.speed.concurrency == 3
    assert three.speed.token_s.expected > alone.speed.token_s.expected
    assert three.speed.first_token_s.expected > alone.speed.first_token_s.expected
    with pytest.raises(StokerError, match="serves 100,000 users"):
        rank(host, forms, replace(Requirements(purpose="chat", named=True), users=100_000))
