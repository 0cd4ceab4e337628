"""The OpenAI-compatible gateway between clients and the servers that run models."""

from stoker.gateway.deployment_facts import DeploymentFacts
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.running_gateway import Gateway, Served
from stoker.gateway.timings import GatewayTimings

__all__ = ["DeploymentFacts", "FitSettings", "Gateway", "GatewayTimings", "Served"]
