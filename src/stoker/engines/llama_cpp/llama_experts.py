"""Where the experts of a mixture go: to the GPU, or to main memory while all else is on the GPU.

A token reads all of a layer's attention, and of its experts only the few that it is routed to. So
the GPU takes the first whole, and the experts of as many layers as still fit. llama.cpp places
tensors by patterns of their names (``tensor_buft_overrides``; its ``--n-cpu-moe`` writes the same).
"""

from __future__ import annotations

import math

from stoker.engines.llama_cpp.llama_memory import loaded_bytes
from stoker.models import Model
from stoker.planning.parameter_count import count_weights
from stoker.planning.serving_plan import MemoryPrediction

ARGUMENT = "tensor_buft_overrides"

#: Experts that a token is routed to, whole or chunked, in llama.cpp's names (src/llama-arch.cpp).
_TENSORS = r"ffn_(up|down|gate|gate_up)_(ch|)exps"


def experts_bytes(model: Model) -> int:
    """What the routed experts take of the file, whose parts are taken to be equally narrow."""
    if model.architecture is None or model.weights_bytes is None:
        return 0
    count = count_weights(model.architecture)
    return int(loaded_bytes(model) * count.experts / count.total)


def layers_in_main_memory(model: Model, memory: MemoryPrediction, gpu_bytes: int) -> int | None:
    """Layers whose experts stay in main memory, so that all else has room on the GPU.

    ``None`` where the model has no experts, or the rest alone has no room.
    """
    experts = model.architecture.experts if model.architecture else None
    routed = experts_bytes(model)
    if experts is None or not routed or memory.total_bytes - routed > gpu_bytes:
        return None
    over = max(0, memory.total_bytes - gpu_bytes)
    return math.ceil(experts.num_layers * over / routed)


def override(model: Model, layers: int) -> str:
    """The pattern that keeps the experts of the first ``layers`` routed layers in main memory."""
    experts = model.architecture.experts if model.architecture else None
    total = model.architecture.num_layers if model.architecture else 0
    first = total - experts.num_layers if experts else 0
    numbers = "|".join(str(first + index) for index in range(layers))
    return rf"blk\.({numbers})\.{_TENSORS}=CPU"


def routed_layers(pattern: str) -> int:
    """How many layers a pattern of ``override`` names."""
    return pattern.partition(")")[0].count("|") + 1
