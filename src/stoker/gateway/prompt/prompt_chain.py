"""A sent prompt as a chain of hashed blocks: what two prompts share, without their content."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from operator import attrgetter, xor
from typing import Any

import msgspec
from msgspec.structs import replace

from stoker.gateway.api.request_validation import written
from stoker.recent_values import RecentValues
from stoker.tokens.chat_messages import SYSTEM_ROLES
from stoker.tokens.request_form import WrittenPart, new_at

#: Some 64 tokens of English or code: what a shared beginning is rounded down to ...
_BLOCK_BYTES = 256
#: ... and in messages behind this size to some 256: 700 KB of them take 2 ms to hash, not 6.
_FINE_BYTES, _COARSE_BLOCK_BYTES = 131_072, 1024
#: Some 4 MB of a prompt, which no window holds; what follows is not seen.
_MOST_BLOCKS = 4096
#: The digests of heads that were seen, by the link that stands for each in this process. A client
#: has a few.
_DIGESTS = RecentValues[int, str](64)
_key = attrgetter("key")


class PromptChain(msgspec.Struct, frozen=True):
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
        if most and self.links[most - 1] == other.links[most - 1]:
            return most
        if not most or self.links[0] != other.links[0]:
            return 0
        return bisect_left(range(most), True, key=lambda at: self.links[at] != other.links[at])

    def begins_with(self, other: PromptChain) -> bool:
        """Whether it has all blocks of the other one, and perhaps more."""
        return self.shared_blocks(other) == len(other.links)

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


#: By the key of all parts: the chains of the last prompts. An agent's next step extends its last
#: one; a chain of 150,000 tokens takes 140 KB.
_KNOWN = RecentValues[int, PromptChain](32)


def chain_of(request: Mapping[str, Any]) -> PromptChain:
    """The chain of a chat or a completion as it is sent; an empty one of any other request.

    Of a conversation that goes on, only what is new is cut into blocks and hashed. Raises
    ``BadRequestError`` where it can't be written.
    """
    head, rest = _parts(request)
    parts = [*head, *rest]
    # Each stands for all parts up to its own, as links do for blocks.
    keys = _links(map(_key, parts), initial=len(head))
    same = _KNOWN.get(keys[-1]) if keys else None
    if same is not None:
        _KNOWN.move_to_end(keys[-1])
        return same
    known = next((at for at in range(len(keys), 0, -1) if keys[at - 1] in _KNOWN), 0)
    chain = _KNOWN[keys[known - 1]] if known else _chain_of_head(head)
    if parts:
        chain = _extended(chain, parts[known or len(head) :])
        _KNOWN.put(keys[-1], chain)
    return chain


def _links(blocks: Iterable[object], start: int = 0, initial: int = 0) -> tuple[int, ...]:
    """For each block what stands for it and all before it.

    A hash has its block's place in it, so that their order counts. No call for each block.
    """
    links = accumulate(map(hash, enumerate(blocks, start)), xor, initial=initial)
    return tuple(links)[1:]


def _chain_of_head(head: Sequence[WrittenPart]) -> PromptChain:
    chain = _extended(PromptChain((), (), 0), head)
    if not chain.is_whole:
        return chain
    return replace(chain, head_blocks=len(chain.links), head=_digest(chain.links[-1], head))


def _extended(chain: PromptChain, parts: Sequence[WrittenPart]) -> PromptChain:
    """The chain with more parts, each of which begins a block of its own."""
    if not parts:
        return chain
    blocks: list[bytes] = []
    ends = list(chain.ends)
    size, room = chain.size_bytes, _MOST_BLOCKS - len(ends)
    for part in parts:
        json = part.json
        step = _BLOCK_BYTES if size < _FINE_BYTES else _COARSE_BLOCK_BYTES
        if len(blocks) < room:
            blocks += [json[at : at + step] for at in range(0, len(json), step)]
            ends += range(size + step, size + len(json), step)
            ends.append(size + len(json))
        size += len(json)
    links = _links(blocks[:room], len(chain.links), chain.links[-1] if chain.links else 0)
    return replace(
        chain, links=(*chain.links, *links), ends=tuple(ends[:_MOST_BLOCKS]), size_bytes=size
    )


def _digest(link: int, parts: Sequence[WrittenPart]) -> str:
    """The digest of a head, which is taken once: hashing 60 KB takes 70 us."""
    if link not in _DIGESTS:
        head = b"\0".join(part.json for part in parts)
        _DIGESTS.put(link, blake2b(head, digest_size=16).hexdigest())
    return _DIGESTS[link]


def _parts(request: Mapping[str, Any]) -> tuple[list[WrittenPart], list[WrittenPart]]:
    """The head, which is the system messages and tools, and all other messages."""
    messages = request.get("messages")
    if not isinstance(messages, list):
        return [], [_part(request["prompt"])] if "prompt" in request else []
    first = 0
    while first < len(messages) and _is_system(messages[first]):
        first += 1
    tools = request.get("tools")
    head = [*messages[:first], *(tools if isinstance(tools, list) else ())]
    return _written_parts(head) if head else head, _written_parts(messages[first:])


def _written_parts(values: list[Any]) -> list[WrittenPart]:
    at = new_at(values)
    return [*values[:at], *map(_part, values[at:])]


def _part(value: Any) -> WrittenPart:
    return value if type(value) is WrittenPart else WrittenPart({}, written(value))


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in SYSTEM_ROLES
