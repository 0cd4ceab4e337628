"""Prove that an endpoint works, by asking it for real."""

from stoker.checks.first_chat import Answer, ask

__all__ = ["Answer", "ask"]
