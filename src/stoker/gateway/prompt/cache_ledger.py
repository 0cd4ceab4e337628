"""What one engine has read of prompts, and how much of the next one is still in its cache.

Kept from what was sent and corrected by what the answers report. Nothing here holds content.
"""

from __future__ import annotations

from collections import deque
from itertools import islice, repeat

import msgspec

from stoker.gateway.prompt.prompt_chain import PromptChain

#: Prompts for each slot: llama.cpp keeps evicted ones in main memory, vLLM in free blocks. That an
#: engine has less shows in its answers.
_PROMPTS_A_SLOT = 4
#: Where the slots are unknown, and the most in any case: a chain of 30,000 tokens takes 40 KB.
_FEWEST_PROMPTS, _MOST_PROMPTS = 8, 64
#: The blocks that count as read before: some 1 M tokens, in about 2 MB.
_BLOCKS_KNOWN = 16_384
#: A block: what is known of a prefix is no more exact.
_BLOCK_TOKENS = 64


class Prefill(msgspec.Struct, frozen=True):
    """How the tokens of prompts came into the engine."""

    read_tokens: int = 0
    cached_tokens: int = 0
    #: Of those read: the ones that this engine had read before.
    wasted_tokens: int = 0


class ReadPrompt(msgspec.Struct, frozen=True):
    """A prompt that the engine has read, as far as it is in its cache."""

    chain: PromptChain
    prompt_tokens: int
    #: What the engine holds of it with the answer; ``None`` where that is not known, and for a
    #: prompt that is not worth keeping.
    held_tokens: int | None = None

    def shared_tokens(self, chain: PromptChain) -> int:
        """The tokens with which both begin."""
        return self.chain.tokens(self.chain.shared_blocks(chain), self.prompt_tokens)


class CacheLedger:
    """The prompts that one engine's cache holds for one model, newest last."""

    def __init__(self, slots: int | None) -> None:
        wanted = _PROMPTS_A_SLOT * (slots or 0)
        self._most_prompts = min(max(wanted, _FEWEST_PROMPTS), _MOST_PROMPTS)
        self._prompts: list[ReadPrompt] = []
        #: By what stands for the head: its tokens.
        self._restored: dict[str, int] = {}
        #: The links of all prompts that were ever read, oldest first.
        self._known: dict[int, None] = {}

    def cached_tokens(self, chain: PromptChain) -> int:
        """How many leading tokens of a prompt the engine is expected to have in its cache."""
        expected = self._restored.get(chain.head, 0) if self._restored else 0
        first = chain.links[:1]
        for prompt in self._prompts:
            if prompt.chain.links[:1] == first:  # of most other prompts not even that is shared
                expected = max(expected, prompt.shared_tokens(chain))
        return expected

    def expected(self, chain: PromptChain, prompt_tokens: int) -> Prefill:
        """How the engine is expected to read a prompt of so many tokens."""
        return self._prefill(chain, prompt_tokens, self.cached_tokens(chain))

    @property
    def newest(self) -> ReadPrompt | None:
        """The prompt that was read last, of those worth keeping."""
        worth = (p for p in reversed(self._prompts) if p.held_tokens and p.chain.head)
        return next(worth, None)

    def holds(self, head: str) -> bool:
        """Whether the engine is expected to have this whole head in its cache."""
        return head in self._restored or any(p.chain.head == head for p in self._prompts)

    def restored(self, head: str, head_tokens: int) -> None:
        """The engine has got a head from a file, or read it ahead: it is in the cache."""
        self._restored[head] = head_tokens

    def note(
        self,
        chain: PromptChain,
        prompt_tokens: int,
        cached_tokens: int | None,
        answer_tokens: int = 0,
    ) -> Prefill:
        """Take note of an answered prompt; return how it was read.

        ``cached_tokens`` is what the engine reports; ``None`` where it reports nothing: then what
        was expected counts. ``answer_tokens`` is 0 for a prompt that is not worth keeping.
        """
        expected = self.cached_tokens(chain)
        cached = min(prompt_tokens, expected if cached_tokens is None else cached_tokens)
        if cached < expected - _BLOCK_TOKENS:
            self._correct(chain, cached)
        prefill = self._prefill(chain, prompt_tokens, cached)
        # The last token of an answer is not read.
        held = prompt_tokens + answer_tokens - 1 if answer_tokens else None
        self._keep(ReadPrompt(chain, prompt_tokens, held))
        self._know(chain)
        self._restored.pop(chain.head, None)
        return prefill

    def _prefill(self, chain: PromptChain, prompt_tokens: int, cached_tokens: int) -> Prefill:
        cached = min(prompt_tokens, cached_tokens)
        read = prompt_tokens - cached
        again = chain.tokens(self._known_blocks(chain), prompt_tokens) - cached
        return Prefill(read, cached, min(read, again) if again > _BLOCK_TOKENS else 0)

    def _correct(self, chain: PromptChain, cached_tokens: int) -> None:
        """Only so much of this prompt was in the cache: whatever shares more is not."""
        self._prompts = [
            _shortened(prompt, cached_tokens)
            if prompt.shared_tokens(chain) > cached_tokens
            else prompt
            for prompt in self._prompts
        ]

    def _keep(self, new: ReadPrompt) -> None:
        kept = [p for p in self._prompts if not new.chain.begins_with(p.chain)]
        self._prompts = [*kept, new][-self._most_prompts :]

    def _know(self, chain: PromptChain) -> None:
        known = self._known
        if len(known) + len(chain.links) > _BLOCKS_KNOWN:  # the order counts where some are to go
            deque(map(known.pop, chain.links, repeat(None)), maxlen=0)  # no step for each of them
        known.update(dict.fromkeys(chain.links))
        if len(known) > _BLOCKS_KNOWN:
            for link in list(islice(known, len(known) - _BLOCKS_KNOWN)):
                del known[link]

    def _known_blocks(self, chain: PromptChain) -> int:
        links, at = chain.links, len(chain.links)
        while at and links[at - 1] not in self._known:
            at -= 1
        return at


def _shortened(prompt: ReadPrompt, tokens: int) -> ReadPrompt:
    blocks = prompt.chain.blocks(tokens, prompt.prompt_tokens)
    return ReadPrompt(prompt.chain.beginning(blocks), prompt.prompt_tokens)
