"""A sent prompt as a chain of hashed blocks: what two prompts share, without their content."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
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
    Hashes are 64 bits, the same in every process, and lead back to no content.
    """

    links: tuple[int, ...]
    #: The bytes of all blocks up to each one.
    ends: tuple[int, ...]
    #: Of the whole prompt.
    size_bytes: int
    #: The blocks of the head.
    head_blocks: int = 0

    @property
    def head(self) -> int:
        """What stands for the head; 0 where there is none, or it is not known whole."""
        known = 0 < self.head_blocks <= len(self.links)
        return self.links[self.head_blocks - 1] if known else 0

    def shared_blocks(self, other: PromptChain) -> int:
        """How many blocks both begin with."""
        most = min(len(self.links), len(other.links))
        # A link stands for all before it, so from the first that differs on all do.
        return bisect_left(range(most), True, key=lambda at: self.links[at] != other.links[at])

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
        return replace(self, links=self.links[:blocks], ends=self.ends[:blocks])


def chain_of(request: Mapping[str, Any]) -> PromptChain:
    """The chain of a chat or a completion as it is sent; an empty one of any other request.

    Raises ``BadRequestError`` where it can't be written.
    """
    links: list[int] = []
    ends: list[int] = []
    link, size, head_blocks = b"", 0, 0
    for is_head, part in _parts(request):
        step = _BLOCK_BYTES if size < _FINE_BYTES else _COARSE_BLOCK_BYTES
        for at in range(0, len(part), step):
            if len(links) == _MOST_BLOCKS:
                break
            block = part[at : at + step]
            link = blake2b(block, digest_size=8, salt=link).digest()
            links.append(int.from_bytes(link, "little"))
            ends.append(size + at + len(block))
        size += len(part)
        head_blocks = len(links) if is_head else head_blocks
    return PromptChain(tuple(links), tuple(ends), size, head_blocks)


def _parts(request: Mapping[str, Any]) -> Iterator[tuple[bool, bytes]]:
    """System messages, tools, all other messages: each begins a block of its own.

    The first two are the head.
    """
    messages = request.get("messages")
    if not isinstance(messages, list):
        yield False, written(request["prompt"]) if "prompt" in request else b""
        return
    head = next((at for at, each in enumerate(messages) if not _is_system(each)), len(messages))
    tools = request.get("tools")
    for part in (*messages[:head], *(tools if isinstance(tools, list) else ())):
        yield True, written(part)
    for part in messages[head:]:
        yield False, written(part)


def _is_system(message: Any) -> bool:
    return isinstance(message, Mapping) and message.get("role") in SYSTEM_ROLES
