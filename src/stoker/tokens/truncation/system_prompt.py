"""The system prompt as it is sent: whole, or with its middle left out."""

from __future__ import annotations

from collections.abc import Sequence

from stoker.tokens.chat_messages import Message, piece_of, text_of
from stoker.tokens.counting.token_counting import CountStrings, Steps
from stoker.tokens.truncation.message_shortening import middle_out


class SystemPrompt:
    """The leading system messages, each shortened by the same share."""

    def __init__(self, messages: Sequence[Message], tokens: int, template_tokens: int) -> None:
        """``tokens`` is what they take whole; of these, a template adds ``template_tokens``."""
        self._whole = messages
        self._whole_tokens = tokens
        self._template_tokens = template_tokens
        self._share = 1.0
        self._is_estimated = False
        #: What they take as they are sent, counted as far as ``settle`` was called since.
        self.tokens = tokens

    @property
    def is_cut(self) -> bool:
        """Whether anything is left out."""
        return self._share < 1

    @property
    def chars_cut(self) -> int:
        """How many characters are left out."""
        sent = sum(len(text_of(message.get("content"))) for message in self.messages())
        return sum(len(text_of(message.get("content"))) for message in self._whole) - sent

    def messages(self) -> list[Message]:
        """The messages that are sent."""
        if not self.is_cut:
            return list(self._whole)
        return [self._shortened(message) for message in self._whole]

    def resize(self, tokens: int) -> None:
        """Send about ``tokens`` of it, at most all."""
        if not self._whole:
            return
        share = self._share + (tokens - self.tokens) / max(1, self._whole_tokens)
        self._share = min(1.0, max(0.0, share))
        self.tokens = min(tokens, self._whole_tokens)
        self._is_estimated = self.is_cut

    def settle(self) -> Steps[None]:
        """Count what was shortened: whole lines are kept, so that the share is a poor estimate."""
        if not self._is_estimated:
            return
        self._is_estimated = False
        counts = yield CountStrings(tuple(piece_of(message) for message in self.messages()))
        self.tokens = self._template_tokens + sum(counts)

    def _shortened(self, message: Message) -> Message:
        text = text_of(message.get("content"))
        return {**message, "content": middle_out(text, int(len(text) * self._share))}
