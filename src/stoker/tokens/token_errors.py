"""Errors of the tokens room."""

from __future__ import annotations

from stoker.errors import StokerError


class ContextLengthExceededError(StokerError):
    """The request does not fit even with all cut that may be cut."""

    #: OpenAI's error code for this case.
    code = "context_length_exceeded"

    def __init__(
        self,
        prompt_tokens: int,
        limit_tokens: int,
        max_model_len: int,
        part: str = "last message",
    ) -> None:
        """``part`` names what to shorten, as a user would call it."""
        self.prompt_tokens = prompt_tokens
        self.limit_tokens = limit_tokens
        self.over_tokens = prompt_tokens - limit_tokens
        super().__init__(
            f"The {part} is {self.over_tokens} tokens too long for this model.",
            # By "maximum context length is" clients know that it can't help to ask again.
            f"With what must stay, the prompt is {prompt_tokens} tokens. This model's maximum "
            f"context length is {max_model_len} tokens, which leaves {limit_tokens} for it beside "
            "the answer.",
            "Shorten the message or its attachments, or serve the model with a longer context.",
        )


class ToolTooDeepError(StokerError):
    """A tool's schema nests too deeply to be a description of parameters."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The schema of the tool {name!r} nests too deeply.",
            "It has more than 200 levels.",
            "Send a simpler schema.",
        )


class TokenizerError(StokerError):
    """A tokenizer or a chat template cannot be used to count."""
