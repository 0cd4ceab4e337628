"""Whether what a model writes is its thinking, and what ends that."""

from __future__ import annotations

from stoker.tokens.tool_calls.thinking_tags import CLOSING_TAGS, THINKING_TAGS


class ThinkingState:
    """The thinking of one answer.

    Many templates write the ``<think>`` into the prompt, so an answer does not show that it begins
    with thinking: until that is over, any closing tag makes thinking of all that stands before it.
    """

    def __init__(self, *, begun: bool) -> None:
        """``begun``: the prompt ends with an open ``<think>``."""
        #: The tag that closes the thinking which the answer began with; empty where none is open.
        self.closing = THINKING_TAGS["<think>"] if begun else ""
        #: No closing tag can follow that makes thinking of the text so far.
        self.is_over = False
        #: How often a closing tag showed that what stands before it was thinking.
        self.closed = 0

    @property
    def closing_tags(self) -> tuple[str, ...]:
        """The tags that end the thinking: the one of the tag that opened it, or any."""
        if self.is_over:
            return ()
        return (self.closing,) if self.closing else tuple(CLOSING_TAGS)

    def closing_end(self, text: str) -> int:
        """Where the tag ends in ``text`` that closes what was opened; 0 where none does."""
        at = text.find(self.closing) if self.closing else -1
        return at + len(self.closing) if at >= 0 else 0

    def open(self, tag: str, *, at_start: bool) -> None:
        """An opening tag was read; thinking ``at_start`` of an answer ends with its own tag."""
        if at_start:
            self.closing = THINKING_TAGS[tag]
        self.is_over = False

    def close(self) -> None:
        """A closing tag was read."""
        self.closed += 1
        self.end()

    def end(self) -> None:
        """What comes now is the answer."""
        self.closing, self.is_over = "", True
