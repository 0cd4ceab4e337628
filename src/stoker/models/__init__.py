"""Model metadata, read without loading weights, and the sources that models come from."""

from stoker.models.types import Architecture, Format, Model, Origin

__all__ = ["Architecture", "Format", "Model", "Origin"]
