"""Recurrent layers by their shapes: what one keeps for a sequence, and how many weights it has.

Both readers (config.json and GGUF) build their layers here, so that they agree. The states are
those of vllm/model_executor/layers/mamba/mamba_utils.py (``MambaStateShapeCalculator``) and of
``llama_hparams::n_embd_r`` and ``n_embd_s`` (llama.cpp, src/llama-hparams.cpp). Norms, biases and
convolutions are left out of the weights (< 0.1 %).
"""

from __future__ import annotations

from stoker.models.model import RecurrentLayers


def mamba1(
    num_layers: int, hidden: int, *, inner: int, state: int, kernel: int, dt_rank: int = 0
) -> RecurrentLayers:
    """Mamba (arXiv:2312.00752): ``state`` numbers for each of ``inner`` channels."""
    return RecurrentLayers(
        kind="mamba1",
        num_layers=num_layers,
        state_elements=inner * state,
        conv_elements=inner * (kernel - 1),
        weights=3 * hidden * inner + inner * (2 * dt_rank + 3 * state),
    )


def mamba2(
    num_layers: int,
    hidden: int,
    *,
    inner: int,
    heads: int,
    state: int,
    groups: int,
    kernel: int,
    state_dtype: str | None = None,
) -> RecurrentLayers:
    """Mamba-2 (arXiv:2405.21060): ``groups`` of heads share their input and output matrices."""
    shared = 2 * groups * state
    return RecurrentLayers(
        kind="mamba2",
        num_layers=num_layers,
        state_elements=inner * state,
        conv_elements=(inner + shared) * (kernel - 1),
        state_dtype=state_dtype,
        weights=hidden * (2 * inner + shared + heads) + inner * hidden,
    )


def gated_delta(
    num_layers: int,
    hidden: int,
    *,
    key: int,
    value: int,
    heads: int,
    key_dim: int,
    kernel: int,
    state_dtype: str | None = None,
) -> RecurrentLayers:
    """Gated delta rule (Qwen3-Next): ``key`` and ``value`` are the widths over all heads."""
    return RecurrentLayers(
        kind="gated_delta",
        num_layers=num_layers,
        state_elements=value * key_dim,
        conv_elements=(2 * key + value) * (kernel - 1),
        state_dtype=state_dtype,
        weights=hidden * (2 * key + 2 * value + 2 * heads) + value * hidden,
    )


def kda(
    num_layers: int, hidden: int, *, heads: int, head_dim: int, kernel: int, full_gates: int = 0
) -> RecurrentLayers:
    """Kimi delta attention (arXiv:2510.26692): ``full_gates`` of its two gates (what is forgotten,
    what is let out) are as wide as the heads; the others go through one head's width."""
    inner = heads * head_dim
    gates = full_gates * hidden * inner + (2 - full_gates) * head_dim * (hidden + inner)
    return RecurrentLayers(
        kind="kda",
        num_layers=num_layers,
        state_elements=inner * head_dim,
        conv_elements=3 * inner * (kernel - 1),
        # Query, key, value and output.
        weights=4 * hidden * inner + gates + hidden * heads,
    )


def lightning(num_layers: int, hidden: int, *, heads: int, head_dim: int) -> RecurrentLayers:
    """Lightning attention (MiniMax-Text-01, arXiv:2501.08313), whose state is in 32 bits."""
    return RecurrentLayers(
        kind="lightning",
        num_layers=num_layers,
        state_elements=heads * head_dim * head_dim,
        state_dtype="float32",
        weights=5 * hidden * heads * head_dim,
    )


def short_conv(num_layers: int, hidden: int, *, kernel: int) -> RecurrentLayers:
    """The short convolutions of LFM2: no state but the window."""
    return RecurrentLayers(
        kind="short_conv",
        num_layers=num_layers,
        state_elements=0,
        conv_elements=hidden * (kernel - 1),
        weights=4 * hidden * hidden,
    )


def rg_lru(num_layers: int, hidden: int, *, width: int, kernel: int) -> RecurrentLayers:
    """The gated linear recurrence of RecurrentGemma (arXiv:2402.19427)."""
    return RecurrentLayers(
        kind="rg_lru",
        num_layers=num_layers,
        state_elements=width,
        conv_elements=width * (kernel - 1),
        state_dtype="float32",
        weights=3 * hidden * width,
    )


def wkv(num_layers: int, hidden: int, *, head_dim: int, token_shifts: int) -> RecurrentLayers:
    """RWKV 6 and 7 (arXiv:2404.05892): a state, and the last inputs of ``token_shifts`` mixers."""
    return RecurrentLayers(
        kind="wkv",
        num_layers=num_layers,
        state_elements=hidden * head_dim,
        conv_elements=token_shifts * hidden,
        weights=5 * hidden * hidden,
    )
