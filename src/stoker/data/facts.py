"""Read the TOML files of this folder, and the user's own additions to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

# Not the standard library's: compiled, it reads the catalogues in a third of the time.
import tomli as tomllib

from stoker.errors import StokerError

__all__ = ["load_additions", "load_table", "tomllib"]

T = TypeVar("T")


@cache
def load_table(name: str) -> dict[str, Any]:
    """Return the parsed ``data/<name>.toml``. Treat it as read-only: all callers share it."""
    return tomllib.loads(files("stoker.data").joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def load_additions(path: Path, name: str, read: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    """What ``read`` makes of each ``[[name]]`` table of a user's file; nothing without the file.

    Raises ``StokerError`` where the file or a table of it can't be read.
    """
    if not path.exists():
        return ()
    try:
        return tuple(map(read, tomllib.loads(path.read_text(encoding="utf-8")).get(name, [])))
    except KeyError as error:
        why = f"A [[{name}]] table has no {error}."
    except (OSError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        why = f"{error}."
    raise StokerError(f"{path} cannot be used.", why, "Correct the file, or move it away.")
