"""The GGUF models that Stoker knows by a short name, from ``data/gguf_models.toml``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from stoker.data import table
from stoker.models.types import (
    Architecture,
    AttentionLayers,
    HubFile,
    Model,
    Origin,
    PackageIndexFile,
    WheelPart,
)


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
    rows = [_entry(row) for row in table("gguf_models")["model"]]
    return tuple(sorted(rows, key=lambda entry: -(entry.model.parameters or 0)))


def _entry(row: dict[str, Any]) -> Entry:
    facts = row["architecture"]
    context = row["max_context_tokens"]
    model = Model(
        id=row["id"],
        format="gguf",
        origin="hub",
        served_name=row["id"],
        quantization=row["quantization"],
        parameters=row["parameters"],
        weights_bytes=row["size_bytes"],
        architecture=Architecture(
            **facts,
            max_position_embeddings=context,
            attention=(
                AttentionLayers(
                    kind="full",
                    num_layers=facts["num_layers"],
                    num_kv_heads=facts["num_kv_heads"],
                    key_dim=facts["head_dim"],
                    value_dim=facts["head_dim"],
                ),
            ),
        ),
        max_context_tokens=context,
        license=row["license"],
    )
    hub = (
        HubFile(filename=row["filename"], sha256=row["sha256"], **row["hub"])
        if "hub" in row
        else None
    )
    parts = tuple(WheelPart(**part) for part in row.get("parts", ()))
    index = (
        PackageIndexFile(row["filename"], row["sha256"], row["size_bytes"], parts)
        if parts
        else None
    )
    return Entry(
        model, row["filename"], row["size_bytes"], row["sha256"], row["automatic"], hub, index
    )
