"""What is planned for a GGUF, against what llama.cpp prints while it loads the same file."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.tiny_gguf import MODELS, TinyModel, write_tiny_gguf

from stoker.engines.llama_cpp.llama_experts import override
from stoker.engines.llama_cpp.llama_memory import LlamaCache, llama_kv_cache_bytes
from stoker.models.gguf_file import load

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"
    ),
]
MIB = 1024**2
#: Load a model and end. The log is written by a thread, which needs a moment.
_LOAD = """
import os, sys, json, time, xllamacpp
from stoker.engines.llama_cpp.llama_worker import configure
params = xllamacpp.CommonParams()
configure(params, {**json.loads(sys.argv[1]), "alias": "m", "port": 0, "key": "k"})
params.warmup, params.verbosity = False, 5
server = xllamacpp.Server(params)
time.sleep(0.3)
sys.stderr.flush()
os._exit(0)
"""


def printed_bytes(path: Path, context: int, parallel: int) -> float:
    """The sum of all caches and states, from the bytes of keys, values and states."""
    log = load_log(path, n_ctx=context * parallel, n_parallel=parallel)
    sizes = re.findall(r"\b[KVRS] \((?:f16|f32)\): +([\d.]+) MiB", log)
    assert sizes, log[-2000:]
    return sum(map(float, sizes)) * MIB


def load_log(path: Path, **arguments: int | str) -> str:
    """What llama.cpp prints while it loads the file."""
    usual = {
        "n_batch": 2048,
        "n_ubatch": 512,
        "n_gpu_layers": 0,
        "cpuparams.n_threads": 1,
        "fit_params": False,
    }
    spec = {"model": str(path), "arguments": {**usual, **arguments}}
    command = [sys.executable, "-c", _LOAD, json.dumps(spec)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stderr


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.architecture)
@pytest.mark.parametrize(("context", "parallel"), [(2048, 2), (4096, 1)])
def test_the_cache_is_what_llama_cpp_prints(
    model: TinyModel, context: int, parallel: int, tmp_path: Path
) -> None:
    path = write_tiny_gguf(model, tmp_path)
    architecture = load(path).architecture
    assert architecture is not None
    planned = llama_kv_cache_bytes(architecture, LlamaCache(context, parallel, 512))
    # Sizes are printed with two digits: two of a state and two of each of two caches.
    assert planned == pytest.approx(printed_bytes(path, context, parallel), abs=4 * 0.005 * MIB)


ROUTED = [model for model in MODELS if any("exps" in name for name in model.layers[-1])]


@pytest.mark.parametrize("model", ROUTED, ids=lambda model: model.architecture)
def test_the_experts_of_just_those_layers_stay_in_main_memory(
    model: TinyModel, tmp_path: Path
) -> None:
    path = write_tiny_gguf(model, tmp_path)
    found = load(path)
    assert found.architecture is not None
    assert found.architecture.experts is not None
    routed = found.architecture.experts.num_layers
    layers = routed - 2
    log = load_log(path, tensor_buft_overrides=override(found, layers))
    moved = set(re.findall(r"tensor (blk\.\S+) \(.*buffer type overridden to CPU", log))
    first = len(model.layers) - routed
    assert layers > 0
    names = [f"ffn_{part}_exps" for part in ("down", "gate", "up")]
    expected = {f"blk.{n}.{name}.weight" for n in range(first, first + layers) for name in names}
    assert {name for name in moved if name.endswith(".weight")} == expected
    assert all("exps" in name for name in moved)
