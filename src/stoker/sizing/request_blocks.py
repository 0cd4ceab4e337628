"""Which blocks of a vLLM server's cache each request has."""

from __future__ import annotations

from stoker.sizing.fleet import VllmReplica
from stoker.sizing.in_flight import InFlight
from stoker.sizing.prefix_cache import Piece, PrefixCache


class RequestBlocks:
    """The cache of one server, counted in tokens of requests."""

    def __init__(self, settings: VllmReplica) -> None:
        # vLLM keeps one block for itself, a placeholder.
        self.cache = PrefixCache(settings.blocks - 1)
        self._block = settings.block_size
        self._prefix_caching = settings.prefix_caching

    def count(self, tokens: int) -> int:
        """The blocks that hold ``tokens`` tokens."""
        return -(-tokens // self._block)

    def match(self, one: InFlight) -> tuple[list[Piece], int]:
        """What the cache holds of a prompt, and how many of these blocks no request uses.

        The last token is never among them: it must be processed to write the next one.
        """
        if not self._prefix_caching:
            return [], 0
        request = one.request
        limit = (one.known - 1) // self._block
        head = (request.head, request.head_tokens // self._block)
        return self.cache.match((head, (request.session, limit)), limit)

    def own(self, one: InFlight, tokens: int) -> None:
        """Note the blocks that a request has for its first ``tokens``; full ones are known."""
        holding = one.holding
        holding.open_blocks = self.count(tokens) - holding.cached
        if self._prefix_caching:
            full = tokens // self._block
            head = one.request.head_tokens // self._block
            self.cache.learn(holding, one.request.head, min(full, head))
            self.cache.learn(holding, one.request.session, full)

    def release(self, one: InFlight) -> None:
        """Free all blocks of a request."""
        self.own(one, one.computed)
        self.cache.release(one.holding)
