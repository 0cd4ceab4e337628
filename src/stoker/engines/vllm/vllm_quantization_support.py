"""Which forms of weights vLLM runs on which GPU."""

from __future__ import annotations

from stoker.host import GpuSpec

_PLAIN = ("bf16", "fp16")
#: The first compute capability on which each form runs, natively or through Marlin's kernels
#: (vllm/model_executor/layers/quantization, ``get_min_capability``).
_LEAST_CAPABILITY = {"awq": 75, "gptq": 75, "int4": 75, "int8": 75}
_LEAST_CAPABILITY |= {"fp8": 80, "mxfp4": 80, "nvfp4": 80, "fp4-fp8": 90, "mxfp8": 80}
_LEAST_CAPABILITY |= dict.fromkeys(_PLAIN, 75)
#: AMD's instruction sets that vLLM's ROCm build is made for.
_ROCM = ("gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1101", "gfx1151", "gfx1200", "gfx1201")
#: Those with kernels for MXFP4: MI300 and later (gpt-oss recipe).
_ROCM_MXFP4 = ("gfx942", "gfx950")


def why_not(form: str, spec: GpuSpec, capability: int | None = None) -> str:
    """Why weights of this form do not run there; empty where they do.

    ``capability`` is the compute capability as one number (8.9 is 89) where the driver reported it;
    else the catalogue's.
    """
    if spec.vendor == "amd":
        return "" if _on_rocm(form, spec) else f"vLLM for ROCm does not run that on {spec.gfx}"
    if spec.vendor != "nvidia":
        return "vLLM runs on NVIDIA's and AMD's GPUs"
    if capability is None and spec.compute_capability is not None:
        capability = 10 * spec.compute_capability[0] + spec.compute_capability[1]
    least = _LEAST_CAPABILITY.get(form)
    if least is None:
        return "vLLM does not know that"
    if capability is None or capability < least:
        has = f"; this one has {capability / 10:.1f}" if capability is not None else ""
        return f"it needs an NVIDIA GPU of compute capability {least / 10:.1f} or more{has}"
    return ""


def _on_rocm(form: str, spec: GpuSpec) -> bool:
    """FP8 needs the type's own rate: there is no kernel that widens it, nor one for GPTQ's int8."""
    if spec.gfx not in _ROCM:
        return False
    if form == "mxfp4":
        return spec.gfx in _ROCM_MXFP4
    return form in (*_PLAIN, "awq", "gptq") or (form == "fp8" and form in spec.flops)
