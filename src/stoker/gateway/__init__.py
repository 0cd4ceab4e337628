"""The OpenAI-compatible front door."""

from stoker.gateway.app import Gateway, Served
from stoker.gateway.gateway_service import Service
from stoker.gateway.middleware.api_keys import Keys, hash_of
from stoker.gateway.prompt.prompt_fitter import FitSettings

__all__ = ["FitSettings", "Gateway", "Keys", "Served", "Service", "hash_of"]
