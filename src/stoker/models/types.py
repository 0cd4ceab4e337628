"""What can be served, as frozen values. ``None`` means "not known", never a guess."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Format = Literal["gguf", "safetensors"]
Origin = Literal["file", "hub", "disk", "package index", "bundled"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """The shape of a transformer, in the field's own terms (config.json or GGUF metadata)."""

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
    #: All else that config.json or the GGUF header says, for planning that needs it.
    raw: dict[str, object] = field(default_factory=dict, compare=False, repr=False)


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
    architecture: Architecture | None = None
    #: The longest context it can serve.
    max_context_tokens: int | None = None
    #: The chat template as Jinja text, where the files carry one.
    chat_template: str | None = None
    license: str | None = None

    @property
    def template_has_tools(self) -> bool | None:
        """Whether the chat template renders tools. ``None`` where there is no template."""
        return None if self.chat_template is None else "tools" in self.chat_template
