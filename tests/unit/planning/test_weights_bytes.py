"""The size of a download before anything of it was listed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker.models import find_known_model
from stoker.planning import weights_bytes

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
