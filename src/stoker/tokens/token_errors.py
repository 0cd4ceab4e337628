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
            # Agents shorten a conversation where they find words that they know: those of OpenAI
            # ("maximum context length is") or of Anthropic ("prompt is too long: 9 tokens > 8").
            f"The {part} is {self.over_tokens} tokens too long: this model's maximum context "
            f"length is {max_model_len} tokens.",
            f"With what must stay, the prompt is too long: {prompt_tokens} tokens > {limit_tokens} "
            "maximum, which leaves room for the answer.",
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
