"""Model metadata, read without loading weights, and the sources that models come from."""

from stoker.models.config import architecture_from_config
from stoker.models.types import (
    Architecture,
    AttentionKind,
    AttentionLayers,
    Experts,
    Format,
    Model,
    Origin,
    RecurrentKind,
    RecurrentLayers,
)

__all__ = [
    "Architecture",
    "AttentionKind",
    "AttentionLayers",
    "Experts",
    "Format",
    "Model",
    "Origin",
    "RecurrentKind",
    "RecurrentLayers",
    "architecture_from_config",
]
