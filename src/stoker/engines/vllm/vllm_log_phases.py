"""What vLLM's log lines mean for its start, in the wordings of 0.10 to 0.32."""

from __future__ import annotations

import re

from stoker.engines.base import LogMarks

LOG_MARKS = LogMarks(
    starts=("vLLM API server version", "non-default args:"),  # the first one to 0.16
    ready=("Application startup complete",),
    ordered_ends=("[shutdown] API server: shutdown triggered", "INFO:     Shutting down"),
)

#: What vLLM prints when a phase begins.
#: Compiled with the first line that is looked at: planning loads this module, too.
_PHASES = (
    (r"non-default args:", "configure"),
    (r"Initializing a V\d LLM engine", "start engine"),
    (r"Starting to load model|Loading model from scratch", "load"),
    (r"Loading safetensors checkpoint shards", "load"),
    (r"Warming up model for the compilation|Dynamo bytecode transform time", "compile"),
    (r"Using cache directory: .*torch_compile_cache", "compile"),
    (r"Initial profiling/warmup run|Memory profiling takes", "profile memory"),
    (r"Available KV cache memory|KV cache size: ", "KV cache"),
    (r"DeepGEMM warmup", "warm up kernels"),
    (r"Capturing CUDA graph", "capture graphs"),
    (r"init engine \(profile|Starting vLLM (API )?server", "start server"),
    (r"Downloading|Fetching \d+ files|\.safetensors: +\d+%", "download"),
)


#: Each GPU's process prints it once, and rounds it to 10 MiB.
_CACHE = r"Available KV cache memory: (\d+\.\d+) GiB"


def cache_bytes(line: str) -> int | None:
    """What the line reports as left for the KV cache of one GPU, after the profile run."""
    found = re.search(_CACHE, line)
    return round(float(found[1]) * 1024**3) if found else None


def phase(line: str) -> str | None:
    """The phase that this log line begins."""
    return next((phase for text, phase in _PHASES if re.search(text, line)), None)
