"""How the operator wants prompts fitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: A model with fewer parameters is confused by a long head, and calls what comes first in it.
_SMALL_MODEL_PARAMETERS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How requests are fitted. ``max_prompt_tokens`` may be a number, ``auto`` or ``None``."""

    enabled: bool = True
    max_prompt_tokens: int | str | None = None
    first_token_target_s: float = 30.0
    #: Expected prefill speed, until one is measured.
    prefill_tokens_per_s: float | None = None
    #: How many parameters the model has, where that is known.
    parameters: int | None = None
    #: A GGUF file or a folder with ``tokenizer.json`` to count with in this process. Left out,
    #: the file of a model that Ollama or LM Studio serves on this machine is found on its disk.
    tokenizer: Path | None = None

    @property
    def is_small_model(self) -> bool:
        """Whether the model is known to be so small that it needs a short head, and hints."""
        return self.parameters is not None and self.parameters < _SMALL_MODEL_PARAMETERS

    @property
    def reads_slowly(self) -> bool:
        """Whether reading a prompt takes the backend so long that it is bounded by time."""
        return self.max_prompt_tokens == "auto"
