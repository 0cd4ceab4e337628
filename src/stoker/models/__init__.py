"""Model metadata, read without loading weights, and the sources that models come from.

``candidates`` and ``resolve`` list what could be served, ``planning`` chooses one of them, and
``fetch`` downloads it.
"""

from stoker.models.hf_config import architecture_from_config
from stoker.models.model import (
    Architecture,
    AttentionKind,
    AttentionLayers,
    DownloadProgress,
    Experts,
    Format,
    HubFile,
    Model,
    Origin,
    PackageIndexFile,
    RecurrentKind,
    RecurrentLayers,
    WheelPart,
)
from stoker.models.model_catalogue import (
    InfillFact,
    KnownModel,
    Purpose,
    Quality,
    Variant,
    find_known_model,
    known_models,
    may_fill_in,
    nearest_models,
    smallest_that_fill_in,
)
from stoker.models.model_resolver import (
    available,
    candidates,
    exists,
    fetch,
    is_path,
    load,
    named,
    offered,
    read_again,
    resolve,
    with_files,
)
from stoker.models.sources.download_store import Kept, kept
from stoker.models.sources.other_apps import lm_studio_file, ollama_file
from stoker.models.user_catalogue import add_model

__all__ = [
    "Architecture",
    "AttentionKind",
    "AttentionLayers",
    "DownloadProgress",
    "Experts",
    "Format",
    "HubFile",
    "InfillFact",
    "Kept",
    "KnownModel",
    "Model",
    "Origin",
    "PackageIndexFile",
    "Purpose",
    "Quality",
    "RecurrentKind",
    "RecurrentLayers",
    "Variant",
    "WheelPart",
    "add_model",
    "architecture_from_config",
    "available",
    "candidates",
    "exists",
    "fetch",
    "find_known_model",
    "is_path",
    "kept",
    "known_models",
    "lm_studio_file",
    "load",
    "may_fill_in",
    "named",
    "nearest_models",
    "offered",
    "ollama_file",
    "read_again",
    "resolve",
    "smallest_that_fill_in",
    "with_files",
]
