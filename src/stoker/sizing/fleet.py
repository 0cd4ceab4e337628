"""The servers that answer a workload: what each is configured to, and who gets which request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from stoker.sizing.step_times import StepTimes

#: How the gateway chooses the replica of a request.
Routing = Literal["random", "least_loaded", "prefix_aware"]
ROUTINGS: tuple[Routing, ...] = ("random", "least_loaded", "prefix_aware")


@dataclass(frozen=True, slots=True)
class VllmReplica:
    """One vLLM server, with its own settings' names. Raises ``ValueError`` as vLLM refuses them."""

    step_times: StepTimes
    #: Tokens that the cache holds, as vLLM prints them when it starts.
    kv_cache_tokens: int
    max_model_len: int = 131_072
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    block_size: int = 16
    #: What ``--no-enable-prefix-caching`` switches off.
    prefix_caching: bool = True
    #: A step is scheduled while the one before it runs: vLLM's default on GPUs.
    async_scheduling: bool = True

    def __post_init__(self) -> None:
        if min(self.max_num_seqs, self.block_size, self.max_model_len) < 1:
            raise ValueError(f"a setting below 1: {self}")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError("max_num_batched_tokens is below max_num_seqs")
        # vLLM keeps one block for itself, a placeholder.
        if self.blocks - 1 < math.ceil(self.max_model_len / self.block_size):
            raise ValueError(
                f"a cache of {self.kv_cache_tokens} tokens does not hold one request of "
                f"{self.max_model_len}"
            )

    @property
    def blocks(self) -> int:
        """Blocks of the cache, with the one that vLLM keeps for itself."""
        return self.kv_cache_tokens // self.block_size


@dataclass(frozen=True, slots=True)
class LlamaCppReplica:
    """One llama.cpp server with slots of equal size."""

    step_times: StepTimes
    n_slots: int
    #: Context of one slot, in tokens.
    n_ctx: int
    n_batch: int = 2048
    #: Tokens that the host's prompt cache (``--cache-ram``) holds for conversations without a slot.
    cache_ram_tokens: int = 0
    #: A prompt that shares less than this with what is in a slot goes to the slot that was idle
    #: longest: llama.cpp's default, a share of the prompt.
    slot_prompt_similarity: float = 0.1
    #: Seconds to load one token's state from the host's cache.
    restore_token_s: float = 0.0

    def __post_init__(self) -> None:
        if min(self.n_slots, self.n_ctx, self.n_batch) < 1 or self.cache_ram_tokens < 0:
            raise ValueError(f"a setting below 1: {self}")


#: One server of a fleet.
Replica = VllmReplica | LlamaCppReplica


@dataclass(frozen=True, slots=True)
class Fleet:
    """Replicas behind one gateway.

    ``prefix_aware`` is what Stoker's gateway does: to the replica that has read most of the prompt,
    among equals to the one with the fewest requests. ``least_loaded`` looks at the load only.
    """

    replicas: Sequence[Replica]
    routing: Routing = "prefix_aware"
    #: Seconds that the gateway adds to each request.
    gateway_s: float = field(default=0.0)

    def __post_init__(self) -> None:
        if not self.replicas:
            raise ValueError("a fleet needs a replica")
        if self.routing not in ROUTINGS:
            raise ValueError(f"unknown routing {self.routing}: {', '.join(ROUTINGS)}")
