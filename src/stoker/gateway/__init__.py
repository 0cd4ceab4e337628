"""The OpenAI-compatible front door."""

from stoker.gateway.app import Gateway
from stoker.gateway.keys import Keys, hash_of

__all__ = ["Gateway", "Keys", "hash_of"]
