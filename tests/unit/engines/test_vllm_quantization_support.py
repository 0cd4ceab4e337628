"""What vLLM runs where: one table for plans and for lists of models."""

from __future__ import annotations

import pytest

from stoker.engines.vllm.vllm_quantization_support import why_not
from stoker.host import find_gpu


@pytest.mark.parametrize(
    ("gpu", "form"),
    [
        ("RTX 2080 Ti", "awq"),
        ("RTX 3060 12GB", "fp8"),
        ("RTX 3090", "mxfp4"),
        ("MI210", "bf16"),
        ("MI300X", "fp8"),
        ("MI300X", "mxfp4"),
        ("RX 7900 XTX", "awq"),
    ],
)
def test_what_there_are_kernels_for_runs(gpu: str, form: str) -> None:
    assert why_not(form, find_gpu(gpu)) == ""


@pytest.mark.parametrize(
    ("gpu", "form", "why"),
    [
        ("RTX 2080 Ti", "fp8", "compute capability 8.0 or more; this one has 7.5"),
        ("MI210", "fp8", "does not run that on gfx90a"),
        ("MI210", "mxfp4", "does not run that on gfx90a"),
        ("MI300X", "int8", "does not run that on gfx942"),
        ("RX 6700 XT", "bf16", "does not run that on gfx1031"),
        ("Apple M4 16GB", "bf16", "NVIDIA's and AMD's GPUs"),
    ],
)
def test_what_there_are_none_for_is_refused_with_the_reason(gpu: str, form: str, why: str) -> None:
    assert why in why_not(form, find_gpu(gpu))


def test_what_the_driver_reports_goes_before_the_catalogue() -> None:
    assert "this one has 7.5" in why_not("fp8", find_gpu("RTX 4090"), 75)
