"""The size of a download before anything of it was listed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker.models import find_known_model
from stoker.planning import weights_bytes
from stoker.planning.parameter_count import count_weights
from stoker.planning.quantization import precision_of

GIB = 1024**3


@pytest.mark.parametrize("billions", ["7", "14"])
def test_gguf_files_with_a_head_of_their_own_are_as_large_as_listed(
    billions: str,
) -> None:
    known, _ = find_known_model(f"qwen2.5-coder-{billions}b")
    listed = next(v for v in known.variants if v.format == "gguf")
    model = known.model(listed)
    assert listed.weights_bytes is not None
    guessed = weights_bytes(replace(model, weights_bytes=None))
    assert guessed == pytest.approx(listed.weights_bytes, rel=0.01)


def test_a_7b_in_4_bits_is_as_large_as_it_was_logged_to_be() -> None:
    known, awq = find_known_model("Qwen/Qwen2.5-Coder-7B-Instruct-AWQ")
    # 5.2032 GiB (vllm issue 13882).
    guessed = weights_bytes(replace(known.model(awq), weights_bytes=None))
    assert guessed == pytest.approx(5.2032 * GIB, rel=0.02)


def test_an_unknown_quantization_has_no_size() -> None:
    known, _ = find_known_model("qwen2.5-coder-7b")
    assert weights_bytes(replace(known.model(), weights_bytes=None, quantization="q17")) is None


@pytest.mark.parametrize(
    ("name", "parameters", "table_bytes"),
    [
        # The index: 359,999,963,128 bytes in 16 bits, less an encoder of 897,862,112 for images and
        # an extra layer of 5,214,301,696; 320,001,536 rows of 160.
        ("Qwen/Qwen3.8-Flash-Next", 176_943_899_660, 102_400_491_520),
        ("Qwen/Qwen3.8-Flash-Next-FP8", 176_943_899_660, 51_200_245_760),
        # The card: 552 billion, and the tables; 768,022,850 rows of 256 and eight scales.
        ("deepseek-ai/DeepSeek-V4.1-Flash", 748_613_849_600, 202_758_032_400),
    ],
)
def test_tables_of_ngrams_are_counted_and_as_large_as_in_the_files(
    name: str, parameters: int, table_bytes: int
) -> None:
    known, variant = find_known_model(name)
    count = count_weights(known.architecture)
    assert count.total == pytest.approx(parameters, rel=0.001)
    precision = precision_of(variant.format, known.architecture)
    assert count.ngram_embedding * precision.ngram_bits / 8 == pytest.approx(table_bytes, rel=1e-5)


@pytest.mark.parametrize("name", ["Qwen/Qwen3.8-Flash-Next", "deepseek-ai/DeepSeek-V4.1-Flash"])
def test_files_with_tables_of_ngrams_are_as_large_as_their_index_states(name: str) -> None:
    """What is no part of the shape is smaller: encoders for images, layers that guess ahead."""
    known, variant = find_known_model(name)
    assert variant.weights_bytes is not None
    guessed = weights_bytes(replace(known.model(variant), weights_bytes=None))
    assert guessed == pytest.approx(variant.weights_bytes, rel=0.02)
