"""The GGUF files that Stoker knows by a short name, from ``data/gguf_models.toml``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from stoker.data.facts import load_table
from stoker.models.model import HubFile, Model, Origin, PackageIndexFile, WheelPart
from stoker.models.model_catalogue import find_known_model


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the catalogue: the model's facts and the sources that carry it."""

    model: Model
    filename: str
    size_bytes: int
    sha256: str
    #: It may be chosen without being asked for by name.
    automatic: bool
    hub: HubFile | None
    package_index: PackageIndexFile | None

    def at(self, origin: Origin) -> Model:
        """The model as it comes from one of its sources; ``path`` is still ``None``."""
        return replace(
            self.model,
            origin=origin,
            hub=self.hub if origin == "hub" else None,
            package_index=self.package_index if origin == "package index" else None,
        )


@cache
def entries() -> tuple[Entry, ...]:
    """Every entry, the largest model first."""
    rows = [_entry(row) for row in load_table("gguf_models")["model"]]
    return tuple(sorted(rows, key=lambda entry: -entry.size_bytes))


def _entry(row: dict[str, Any]) -> Entry:
    name, size, sha256 = row["filename"], row["size_bytes"], row["sha256"]
    known, _ = find_known_model(row["id"])
    model = replace(
        known.model(),
        id=row["id"],
        format="gguf",
        served_name=row["id"],
        quantization=row["quantization"],
        weights_bytes=size,
    )
    hub = HubFile(filename=name, sha256=sha256, **row["hub"]) if "hub" in row else None
    parts = tuple(WheelPart(**part) for part in row.get("parts", ()))
    index = PackageIndexFile(name, sha256, size, parts) if parts else None
    return Entry(model, name, size, sha256, row["automatic"], hub, index)
