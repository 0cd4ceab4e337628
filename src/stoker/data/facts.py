"""Read the TOML files of this folder."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

# Not the standard library's: compiled, it reads the catalogues in a third of the time.
import tomli as tomllib

__all__ = ["load_table", "tomllib"]


@cache
def load_table(name: str) -> dict[str, Any]:
    """Return the parsed ``data/<name>.toml``. Treat it as read-only: all callers share it."""
    return tomllib.loads(files("stoker.data").joinpath(f"{name}.toml").read_text(encoding="utf-8"))
