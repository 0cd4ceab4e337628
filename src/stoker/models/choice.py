"""From a name, or none, to the models it could mean; and from one of them to files on disk."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from pathlib import Path

from stoker.errors import StokerError
from stoker.models import gguf_file
from stoker.models.catalogue import Entry, entries
from stoker.models.sources import bundled, local, package_index, store
from stoker.models.types import Model, PackageIndexFile

load = local.load


def candidates(*, hub_reachable: bool | None = None, offline: bool = False) -> list[Model]:
    """What ``stoker up`` may choose from by itself, from the best source to the last resort.

    Sources come in this order: hub, models on disk, package index, the installed SmolLM2; within a
    source the largest model is first. A model whose ``path`` is ``None`` is not downloaded yet.
    """
    found = [
        model
        for entry in entries()
        if entry.automatic
        for model in _sources(entry, hub_reachable=hub_reachable is True, offline=offline)
    ]
    order = ("hub", "disk", "package index", "bundled")
    return sorted(found, key=lambda model: order.index(model.origin))


def resolve(
    name: str | None, *, hub_reachable: bool | None = None, offline: bool = False
) -> list[Model]:
    """The models that ``name`` can mean, best source first; with no name, ``candidates``.

    ``name`` is a path, a short name of the catalogue, or a hub id ``org/name[:quant or file]``.
    Raises ``StokerError`` where it means nothing, with the nearest names that do.
    """
    if name is None:
        return candidates(hub_reachable=hub_reachable, offline=offline)
    if _is_path(name):
        return [load(Path(name))]
    entry = next((e for e in entries() if e.model.id == name.casefold()), None)
    if entry is None:
        raise _unknown(name)
    found = _sources(entry, hub_reachable=hub_reachable is not False, offline=offline)
    if not found:
        raise StokerError(
            f"{entry.model.id} is not on this machine.",
            "It has to be downloaded, and Stoker was told to stay offline.",
            "Run the command without --offline once, or give the path of a GGUF file.",
        )
    return found


def available() -> list[Model]:
    """Every model that this machine has already."""
    return [m for m in candidates(offline=True) if m.path is not None]


def fetch(model: Model, progress: store.Report | None = None) -> Model:
    """The same model with its files on this machine and its facts read from them.

    ``progress`` is called often while something is downloaded. Raises ``StokerError`` where the
    source does not answer, the disk is too small or the files are not what they should be; what
    was downloaded stays, and the next call continues.
    """
    report = progress or (lambda _: None)
    if model.path is not None:
        return model
    if model.package_index is not None:
        return _read(model, package_index.fetch(model.package_index, report))
    raise StokerError(f"Nobody knows where to get {model.id}.", "", "Give the path of its file.")


def _sources(entry: Entry, *, hub_reachable: bool, offline: bool) -> list[Model]:
    """The places that ``entry`` can be had from now, best first."""
    found: list[Model] = []
    if entry.package_index is not None:
        found += _from_package_index(entry, entry.package_index, offline=offline)
    return found


def _from_package_index(entry: Entry, file: PackageIndexFile, *, offline: bool) -> list[Model]:
    """``entry`` as a downloaded file, an installed one, or else as something to download."""
    model = entry.at("package index")
    downloaded = store.finished(file.filename, file.size_bytes)
    if downloaded is not None:
        return [_read(model, downloaded)]
    installed = bundled.path_of(file.parts[0]) if len(file.parts) == 1 else None
    if installed is not None:
        return [_read(entry.at("bundled"), installed)]
    return [] if offline else [model]


def _read(model: Model, path: Path) -> Model:
    """``model`` with what its file says; its names and the original's size stay."""
    loaded = gguf_file.load(path)
    return replace(
        loaded,
        id=model.id,
        origin=model.origin,
        served_name=model.served_name,
        parameters=model.parameters or loaded.parameters,
        license=model.license or loaded.license,
        hub=model.hub,
        package_index=model.package_index,
    )


def _is_path(name: str) -> bool:
    looks = name.startswith((".", "~", os.sep)) or name.lower().endswith(".gguf")
    return looks or Path(name).exists()


def _unknown(name: str) -> StokerError:
    known = [entry.model.id for entry in entries()]
    near = difflib.get_close_matches(name.casefold(), known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Short names: {', '.join(known)}."
    return StokerError(
        f"There is no model {name!r}.",
        hint,
        "Give a short name, a hub id such as org/name, or the path of a GGUF file.",
    )
