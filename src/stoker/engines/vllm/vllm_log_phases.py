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
_PHASES = (
    (re.compile(r"non-default args:"), "configure"),
    (re.compile(r"Initializing a V\d LLM engine"), "start engine"),
    (re.compile(r"Starting to load model|Loading model from scratch"), "load"),
    (re.compile(r"Loading safetensors checkpoint shards"), "load"),
    (re.compile(r"Warming up model for the compilation|Dynamo bytecode transform time"), "compile"),
    (re.compile(r"Using cache directory: .*torch_compile_cache"), "compile"),
    (re.compile(r"Initial profiling/warmup run|Memory profiling takes"), "profile memory"),
    (re.compile(r"Available KV cache memory|KV cache size: "), "KV cache"),
    (re.compile(r"DeepGEMM warmup"), "warm up kernels"),
    (re.compile(r"Capturing CUDA graph"), "capture graphs"),
    (re.compile(r"init engine \(profile|Starting vLLM (API )?server"), "start server"),
    (re.compile(r"Downloading|Fetching \d+ files|\.safetensors: +\d+%"), "download"),
)


def phase(line: str) -> str | None:
    """The phase that this log line begins."""
    return next((phase for text, phase in _PHASES if text.search(line)), None)
