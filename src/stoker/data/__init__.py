"""Facts as TOML files: models, GPUs, failures. Code reads them here and nowhere else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

# Not the standard library's: compiled, it reads the catalogues in a third of the time.
import tomli as tomllib

__all__ = ["table", "tomllib"]


@cache
def table(name: str) -> dict[str, Any]:
    """The TOML file ``data/<name>.toml``, parsed. Treat it as read-only: it is shared."""
    return tomllib.loads(files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
