"""Keep what one owner's requests have left in an engine's cache from another owner's.

Engines share a cached prefix between all requests that begin alike, so that the time to the first
token shows whether another user has sent the same beginning before.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b

from msgspec.structs import replace

from stoker.engines import Engine
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.prompt.prompt_chain import PromptChain

_SECRET_BYTES, _SALT_BYTES = 32, 16


class OwnerCaches:
    """Salts by which an engine keeps owners' prompts apart. They last as long as the process."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(_SECRET_BYTES)
        #: Whether owners are kept apart.
        self.enabled = False

    def salt(self, owner: str, engine: Engine) -> dict[str, str]:
        """What a request of the owner is sent with, which no other owner can guess.

        Raises ``BadRequestError`` where the engine has one cache for all.
        """
        if not self.enabled:
            return {}
        if engine.cache_salt_field is None:
            raise BadRequestError(
                f"This model's server has one cache for all owners: {engine.title or 'it'} can't "
                "keep them apart. Use vLLM for it, or remove caches_per_owner from the gateway's "
                "configuration.",
                status=503,
                code="no_cache_per_owner",
            )
        return {engine.cache_salt_field: self._digest(owner).hex()}

    def chain(self, owner: str, chain: PromptChain) -> PromptChain:
        """The chain of a prompt of the owner's: it has nothing in common with another owner's."""
        mark = self.mark(owner)
        if not mark:
            return chain
        links = tuple(link ^ mark for link in chain.links)
        return replace(chain, links=links, head=chain.head and f"{chain.head}-{mark:x}")

    def mark(self, owner: str) -> int:
        """What sets the hashes of the owner's prompts apart from others; 0 where all share."""
        return int.from_bytes(self._digest(owner)[:7], "big") if self.enabled else 0

    def _digest(self, owner: str) -> bytes:
        return blake2b(owner.encode(), key=self._secret, digest_size=_SALT_BYTES).digest()
