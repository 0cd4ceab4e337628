"""The OpenAI-compatible front door."""

from stoker.gateway.app import Gateway, Served
from stoker.gateway.fitting import FitSettings
from stoker.gateway.keys import Keys, hash_of
from stoker.gateway.watch import Service

__all__ = ["FitSettings", "Gateway", "Keys", "Served", "Service", "hash_of"]
