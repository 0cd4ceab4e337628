"""The OpenAI-compatible front door."""

from stoker.gateway.app import Gateway

__all__ = ["Gateway"]
