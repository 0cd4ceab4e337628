"""The OpenAI-compatible gateway between clients and the servers that run models."""

from stoker.gateway.app import Gateway, Served
from stoker.gateway.limits import GatewayLimits
from stoker.gateway.middleware.api_keys import Keys, hash_of
from stoker.gateway.prompt.fit_settings import FitSettings

__all__ = ["FitSettings", "Gateway", "GatewayLimits", "Keys", "Served", "hash_of"]
