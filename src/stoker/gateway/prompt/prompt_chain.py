"""A sent prompt as a chain of hashed blocks: what two prompts share, without their content."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
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
#: The digests of heads that were seen, by the link that stands for each in this process. A client
#: has a few.
_DIGESTS: dict[int, str] = {}
_MOST_DIGESTS = 64


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
    #: The blocks of the head.
    head_blocks: int = 0
    #: What stands for the head in every process; empty where there is none, or it is not known.
    head: str = ""

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
        head = self.head if blocks >= self.head_blocks else ""
        return replace(self, links=self.links[:blocks], ends=self.ends[:blocks], head=head)


def chain_of(request: Mapping[str, Any]) -> PromptChain:
    """The chain of a chat or a completion as it is sent; an empty one of any other request.

    Raises ``BadRequestError`` where it can't be written.
    """
    blocks: list[bytes] = []
    ends: list[int] = []
    head: list[bytes] = []
    size = head_blocks = 0
    for is_head, part in _parts(request):
        step = _BLOCK_BYTES if size < _FINE_BYTES else _COARSE_BLOCK_BYTES
        if part and len(blocks) < _MOST_BLOCKS:
            blocks += [part[at : at + step] for at in range(0, len(part), step)]
            ends += range(size + step, size + len(part), step)
            ends.append(size + len(part))
        size += len(part)
        if is_head:
            head.append(part)
            head_blocks = len(blocks)
    # A hash with its block's place in it, so that their order counts, and no call for each block.
    links = tuple(accumulate(map(hash, enumerate(blocks[:_MOST_BLOCKS])), xor))
    is_whole = 0 < head_blocks <= len(links)
    stands_for_head = _digest(links[head_blocks - 1], head) if is_whole else ""
    return PromptChain(links, tuple(ends[:_MOST_BLOCKS]), size, head_blocks, stands_for_head)


def _digest(link: int, parts: Sequence[bytes]) -> str:
    """The digest of a head, which is taken once: hashing 60 KB takes 70 us."""
    if link not in _DIGESTS:
        if len(_DIGESTS) >= _MOST_DIGESTS:
            _DIGESTS.clear()
        _DIGESTS[link] = blake2b(b"\0".join(parts), digest_size=16).hexdigest()
    return _DIGESTS[link]


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
    return isinstance(message, dict) and message.get("role") in SYSTEM_ROLES
