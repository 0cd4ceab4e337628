"""The import name that scripts outside this repository use; inside it is ``hf_config``."""

from stoker.models.hf_config import architecture_from_config

__all__ = ["architecture_from_config"]
