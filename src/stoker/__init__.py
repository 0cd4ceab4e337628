"""Stoker puts a model that you host yourself behind VS Code's chat."""

__version__ = "0.1.0"
