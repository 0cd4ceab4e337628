"""What is predicted of llama.cpp's memory, against what it prints while it loads the model."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stoker.application import rank
from stoker.engines.llama_cpp.llama_memory import LlamaCache, llama_kv_cache_bytes, llama_memory
from stoker.host import Cpu, Host, Memory
from stoker.models import Model, available
from stoker.models.gguf_file import load
from stoker.planning import Candidate, Plan, Requirements

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"
    ),
]
MIB, GIB = 1024**2, 1024**3
#: Load a model with the arguments of a plan and end. A process of its own keeps the log apart.
_LOAD = """
import os, sys, json, xllamacpp
from stoker.engines.llama_cpp.llama_worker import configure
params = xllamacpp.CommonParams()
spec = json.loads(sys.argv[1])
configure(params, {**spec, "alias": "m", "port": 0, "key": "k"})
params.warmup, params.verbosity = False, 4
server = xllamacpp.Server(params)
print("loaded with", server.listening_address is not None, file=sys.stderr)
sys.stderr.flush()
os._exit(0)
"""


def models() -> list[Model]:
    return [model for model in available() if model.path and model.format == "gguf"]


def printed(model: Model, plan: Plan) -> dict[str, float]:
    """Sizes in MiB by the name that llama.cpp gives them."""
    spec = {"model": str(model.path), "arguments": {a.name: a.value for a in plan.arguments}}
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, json.dumps(spec)],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    found = re.findall(r"(KV|compute|CPU_Mapped model) buffer size = +([\d.]+) MiB", done.stderr)
    return {name: float(size) for name, size in found if float(size) > 0}


@pytest.mark.parametrize(("context", "parallel"), [(8192, 1), (8192, 2), (2048, 1)])
def test_the_cache_and_the_buffers_are_what_llama_cpp_prints(context: int, parallel: int) -> None:
    candidates = [model for model in models() if (model.weights_bytes or GIB) < GIB]
    if not candidates:
        pytest.skip("no small GGUF model is on this machine")
    memory = Memory(32 * GIB, 24 * GIB)
    host = Host("Linux", "x86_64", Cpu("any", 2, 2, avx2=True), memory)
    for candidate in candidates:
        model = load(Path(str(candidate.path)))
        requirements = Requirements(context=context, parallel=parallel, named=True)
        plan = rank(host, [Candidate(model)], requirements)[0]
        sizes = printed(model, plan)
        assert model.architecture is not None
        n_ubatch = next(int(a.value) for a in plan.arguments if a.name == "n_ubatch")
        cache = LlamaCache(context, parallel, n_ubatch)
        assert llama_kv_cache_bytes(model.architecture, cache) == sizes["KV"] * MIB
        predicted = llama_memory(model, cache, 10 * GIB)
        taken = (sum(sizes.values()) + 150) * MIB
        assert predicted.total_bytes == pytest.approx(taken, rel=0.1), model.id
