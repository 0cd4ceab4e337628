"""A sent prompt as a chain of hashed blocks: what two prompts share, without their content."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import xor
from typing import Any

from stoker.gateway.api.request_validation import written
from stoker.tokens.chat_messages import SYSTEM_ROLES

#: Some 64 tokens of English or code: what a shared beginning is rounded down to ...
_BLOCK_BYTES = 256
#: ... and in messages behind this size to some 256: 700 KB of them take 2 ms to hash, not 6.
_FINE_BYTES, _COARSE_BLOCK_BYTES = 131_072, 1024
#: Some 4 MB of a prompt, which no window holds; what follows is not seen.
_MOST_BLOCKS = 4096


@dataclass(frozen=True, slots=True)
class PromptChain:
    """The blocks of one prompt, in the order in which templates write them.

    ``links[i]`` stands for all blocks up to ``i``: two prompts that have it in common begin alike.
    Hashes are this process's own and lead back to no content.
    """

    links: tuple[int, ...]
    #: The bytes of all blocks up to each one.
    ends: tuple[int, ...]
    #: Of the whole prompt.
    size_bytes: int

    @property
    def is_whole(self) -> bool:
        """Whether the last link stands for all of the prompt."""
        return bool(self.links) and self.ends[-1] == self.size_bytes

    def shared_blocks(self, other: PromptChain) -> int:
        """How many blocks both begin with."""
        most = min(len(self.links), len(other.links))
        # A link stands for all before it, so from the first that differs on all do.
        return bisect_left(range(most), True, key=lambda at: self.links[at] != other.links[at])

    def begins_with(self, other: PromptChain) -> bool:
        """Whether it has all blocks of the other one, and perhaps more."""
        return self.links[: len(other.links)] == other.links

    def tokens(self, blocks: int, prompt_tokens: int) -> int:
        """The tokens of the first blocks, where the whole prompt has ``prompt_tokens``."""
        if not blocks or not self.size_bytes:
            return 0
        return prompt_tokens * self.ends[blocks - 1] // self.size_bytes

    def blocks(self, tokens: int, prompt_tokens: int) -> int:
        """How many blocks the first ``tokens`` of the prompt hold whole."""
        size = tokens * self.size_bytes // max(1, prompt_tokens)
        return bisect_left(self.ends, size + 1)

    def beginning(self, blocks: int) -> PromptChain:
        """The same prompt, of which only the first blocks are known."""
        return PromptChain(self.links[:blocks], self.ends[:blocks], self.size_bytes)


def chain_of(request: Mapping[str, Any]) -> PromptChain:
    """The chain of a chat or a completion as it is sent; an empty one of any other request.

    Raises ``BadRequestError`` where it can't be written.
    """
    blocks: list[bytes] = []
    ends: list[int] = []
    size = 0
    for part in _parts(request):
        step = _BLOCK_BYTES if size < _FINE_BYTES else _COARSE_BLOCK_BYTES
        if part and len(blocks) < _MOST_BLOCKS:
            blocks += [part[at : at + step] for at in range(0, len(part), step)]
            ends += range(size + step, size + len(part), step)
            ends.append(size + len(part))
        size += len(part)
    # A hash with its block's place in it, so that their order counts, and no call for each block.
    hashes = map(hash, enumerate(blocks[:_MOST_BLOCKS]))
    return PromptChain(tuple(accumulate(hashes, xor)), tuple(ends[:_MOST_BLOCKS]), size)


def _parts(request: Mapping[str, Any]) -> Iterator[bytes]:
    """System messages, tools, all other messages: each begins a block of its own."""
    messages = request.get("messages")
    if not isinstance(messages, list):
        yield written(request["prompt"]) if "prompt" in request else b""
        return
    head = next((at for at, each in enumerate(messages) if not _is_system(each)), len(messages))
    tools = request.get("tools")
    for part in (*messages[:head], *(tools if isinstance(tools, list) else ()), *messages[head:]):
        yield written(part)


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in SYSTEM_ROLES
