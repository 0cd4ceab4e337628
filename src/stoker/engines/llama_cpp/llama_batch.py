"""How many tokens of a prompt llama.cpp reads at once: on a CPU so few that a stop is prompt.

llama.cpp looks for a client that has left between two batches, and its cancellation reaches the
reader after the next one at the latest: a batch may have begun in the meantime (b11549).
"""

from __future__ import annotations

from dataclasses import dataclass

from stoker.engines.llama_cpp.llama_speed import llama_speed
from stoker.host import Cpu
from stoker.models import Model
from stoker.planning.serving_plan import Argument

#: Two batches end after two seconds, and where the prediction is wrong by its factor of 1.5
#: (``llama_speed``) after three. With experts a batch may take twice as long: each of them gets a
#: small part of its tokens, and few tokens for a matrix cost speed (``LEAST_BATCH``).
_BATCH_S, _ROUTED_BATCH_S = 1.0, 2.0
#: Reading slows down as a prompt grows: what counts is the mean over one like an agent's, which
#: sends 15,500 tokens before the first word (measured with VS Code).
_PROMPT_TOKENS = 16_384
#: llama.cpp's own defaults (common/common.h), which are the most that a batch is worth.
_MOST_BATCH, _MOST_UBATCH = 2048, 512
#: Fewer tokens read the weights too often. Prompts of 256 tokens on 2 busy cores, tokens for a
#: second of CPU time, the best of five and of three: with 256 at once SmolLM2-135M 112 and
#: Qwen2.5-Coder-0.5B 59, with 128 105 and 58, with 64 102 and 54, with 32 93 and 51, with 16 85
#: and 40, with 8 73 and 31.
LEAST_BATCH = 32


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """The tokens that are read between two looks at who left, and those in a layer together."""

    n_batch: int = _MOST_BATCH
    n_ubatch: int = _MOST_UBATCH
    #: Seconds that one takes in a long prompt; ``None`` where they were not bounded.
    batch_s: float | None = None


def batch_on_cpu(cpu: Cpu, model: Model) -> PromptBatch:
    """The largest batch, in steps of ``LEAST_BATCH``, that ``cpu`` reads within a second or two.

    A slow model gets one step. Its size and architecture must be known.
    """
    read = min(model.max_context_tokens or _PROMPT_TOKENS, _PROMPT_TOKENS)
    tokens_per_s = llama_speed(cpu, None, model, context_tokens=read).prefill_tokens_per_s
    routed = model.architecture is not None and model.architecture.experts is not None
    within_s = _ROUTED_BATCH_S if routed else _BATCH_S
    steps = int(within_s * tokens_per_s) // LEAST_BATCH
    n_batch = min(max(1, steps) * LEAST_BATCH, _MOST_BATCH)
    return PromptBatch(n_batch, min(n_batch, _MOST_UBATCH), n_batch / tokens_per_s)


def batch_arguments(batch: PromptBatch) -> tuple[Argument, ...]:
    """The launch arguments, each with its reason."""
    return (
        Argument("n_batch", batch.n_batch, _batch_reason(batch)),
        Argument(
            "n_ubatch",
            batch.n_ubatch,
            f"{batch.n_ubatch} tokens go through a layer together: enough to reuse each weight "
            "that is read, and few enough that the activations stay small.",
        ),
    )


def _batch_reason(batch: PromptBatch) -> str:
    if batch.batch_s is None:
        return f"Prompts are read in batches of at most {batch.n_batch:,} tokens."
    return (
        f"Prompts are read in batches of at most {batch.n_batch:,} tokens, which takes about "
        f"{batch.batch_s:.1f} s: in between llama.cpp looks whether the reader has pressed Stop."
    )
