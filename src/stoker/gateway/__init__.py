"""The OpenAI-compatible gateway between clients and the servers that run models."""

from stoker.gateway.app import Gateway, Served
from stoker.gateway.limits import GatewayLimits
from stoker.gateway.prompt.fit_settings import FitSettings

__all__ = ["FitSettings", "Gateway", "GatewayLimits", "Served"]
