"""A file of what was measured on machines: an entry for each machine and each thing measured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from stoker import paths
from stoker.private_files import changing, write_private

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True)
class MeasuredFile(Generic[_Entry]):
    """The file ``name`` in the configuration's folder, whose entries are of one type."""

    name: str
    kind: type[_Entry]

    def read(self) -> dict[str, dict[str, _Entry]]:
        """The entries of each machine; none where the file can't be read."""
        kind = dict[str, dict[str, self.kind]]  # type: ignore[name-defined]
        try:
            found: dict[str, dict[str, _Entry]] = msgspec.json.decode(
                self._path.read_bytes(), type=kind
            )
        except (OSError, RecursionError, UnicodeDecodeError, msgspec.DecodeError):
            return {}
        return found

    def change(self, machine: str, key: str, change: Callable[[_Entry], _Entry]) -> None:
        """Replace one entry; two commands that end at once keep both of theirs.

        What can't be written is not kept: the measurement was made for something else.
        """
        with suppress(OSError), changing(self._path):
            entries = self.read()
            of_machine = entries.get(machine, {})
            of_machine[key] = change(of_machine.get(key, self.kind()))
            write_private(self._path, msgspec.json.encode({**entries, machine: of_machine}))

    def forget(self) -> bool:
        """Remove all of it. Whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    @property
    def _path(self) -> Path:
        return paths.config_dir() / self.name
