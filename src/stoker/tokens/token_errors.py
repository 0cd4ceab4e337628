"""What the tokens room can refuse."""

from __future__ import annotations

from stoker.errors import StokerError


class ContextLengthExceededError(StokerError):
    """The request does not fit, even after everything that may be cut was cut."""

    #: OpenAI's error code for this case.
    code = "context_length_exceeded"

    def __init__(
        self,
        prompt_tokens: int,
        limit_tokens: int,
        max_model_len: int,
        part: str = "last message",
    ) -> None:
        """``part`` is what is to be shortened, in the words of the request."""
        self.prompt_tokens = prompt_tokens
        self.limit_tokens = limit_tokens
        self.over_tokens = prompt_tokens - limit_tokens
        super().__init__(
            f"The {part} is {self.over_tokens} tokens too long for this model.",
            f"With what must stay, the prompt is {prompt_tokens} tokens; a window of "
            f"{max_model_len} tokens has room for {limit_tokens} beside the answer.",
            "Shorten the message or its attachments, or serve the model with a longer context.",
        )


class ToolTooDeepError(StokerError):
    """A tool's schema nests deeper than anything that describes parameters."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The schema of the tool {name!r} nests too deeply.",
            "It has more than 200 levels.",
            "Send a simpler schema.",
        )


class TokenizerError(StokerError):
    """A tokenizer or a chat template cannot be used to count."""
