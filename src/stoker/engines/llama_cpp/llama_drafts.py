"""Drafts by the model's own multi-token-prediction head: where they pay, and how many.

The head is a block more behind the others (``blk.N.nextn.*`` of a GGUF file). It drafts from the
hidden states of the model and shares its embeddings; the model checks all drafts in one step. What
is kept are the tokens that it would have chosen itself (``common_sampler_sample_and_accept_n``).
"""

from __future__ import annotations

from stoker.engines.llama_cpp.llama_speed import LlamaSpeed
from stoker.host import GpuSpec
from stoker.models import Model
from stoker.planning.serving_plan import Argument

#: Fields of ``xllamacpp.CommonParams``, and the names of ``--spec-type``.
KIND, NUMBER = "speculative.types", "speculative.draft.n_max"
MTP, OFF = "draft-mtp", "none"
#: Architectures for which llama.cpp b11549 has a graph of the head (``LLM_GRAPH_TYPE_DECODER_MTP``
#: in src/models). The last is what config.json calls ``qwen35``: the files of the catalogue's other
#: models with a head are not known to have it.
_ARCHITECTURES = frozenset(
    {
        *("bailingmoe3", "cohere2moe", "deepseek2", "deepseek32", "deepseek4", "glm-dsa"),
        *("glm4moe", "glm5-next", "hy_v3", "mimo2", "nemotron_h_moe", "qwen35", "qwen35moe"),
        *("qwen3next", "qwen4exp", "step35", "qwen3_5"),
    }
)
#: How likely a draft is right where those before it are. Of two, three and four drafts 79, 72 and
#: 63 % were right (Qwen3.8-27B in 4 bits, thinking off: sudoingX/qwen38-mtp, pull 77), which would
#: be 0.84. With a little less, half of that table's gains on 11 kinds of GPU are within 7 % of what
#: is predicted. Prose has less, code more: 32 to 98 % of the drafts.
ACCEPTANCE = 0.8
#: The table's rows for 24 and 32 GB go up to three; beyond, prose loses (pull 4).
MOST_DRAFTS = 3
#: Less is not worth the memory: a gain that is predicted may be a fifth smaller (the same table).
LEAST_GAIN = 1.15


def can_draft(model: Model) -> bool:
    """Whether the model's file has a head that llama.cpp runs."""
    architecture = model.architecture
    return (
        model.has_mtp_head
        and architecture is not None
        and architecture.num_mtp_layers > 0
        and architecture.family in _ARCHITECTURES
    )


def most_drafts(model: Model) -> int:
    """Several blocks draft one token each; a single one drafts again from its own output."""
    blocks = model.architecture.num_mtp_layers if model.architecture else 0
    return blocks if blocks > 1 else MOST_DRAFTS


def pays(model: Model, gpu: GpuSpec | None) -> bool:
    """Whether drafts are known to pay with a model like this on that GPU, which holds all of it.

    Not on a CPU, where checking three tokens costs nearly three steps. Not with a mixture of
    experts, where each draft reads experts of its own: Qwen3.6-35B-A3B gets 1.06 times the tokens/s
    on an RTX 5090 (theneuralfeed.com, 2026-05) and 0.94 to 1.38 on an RTX 3090
    (jeanfbrito.github.io). Not on Apple's GPUs: 1.0 times on an M4 and 1.06 on an M3 Ultra
    (sudoingX/qwen38-mtp).
    """
    architecture = model.architecture
    dense = architecture is not None and architecture.experts is None
    return can_draft(model) and dense and gpu is not None and gpu.vendor != "apple"


def token_s(speed: LlamaSpeed, requests: int, drafts: int) -> float:
    """Seconds for one token of each of ``requests`` that are answered at the same time.

    A draft is checked like the token of a further request.
    """
    checked = speed.token_s(requests) + requests * drafts * speed.further_s
    return (checked + drafts * speed.draft_s) / tokens_per_step(drafts)


def tokens_per_step(drafts: int) -> float:
    """Tokens that a step is expected to add: one, and the drafts up to the first wrong one."""
    return float((1 - ACCEPTANCE ** (drafts + 1)) / (1 - ACCEPTANCE))


def best_drafts(model: Model, speed: LlamaSpeed, requests: int) -> list[int]:
    """Numbers of drafts that are worth their memory, the quickest first."""
    plain = speed.token_s(requests)
    gains = {
        number: plain / token_s(speed, requests, number)
        for number in range(1, most_drafts(model) + 1)
    }
    worth = [number for number, gain in gains.items() if gain >= LEAST_GAIN]
    return sorted(worth, key=lambda number: -gains[number])


def draft_arguments(drafts: int, reason: str) -> tuple[Argument, ...]:
    """The launch arguments."""
    if not drafts:
        return ()
    return (
        Argument(KIND, MTP, reason),
        Argument(NUMBER, drafts, "The most that are drafted before each step."),
    )
