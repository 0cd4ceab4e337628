"""A model's files for a bundle, and where the target keeps them so that `stoker up` finds them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stoker import models, paths
from stoker.bundles import modelpack, modelpack_registry
from stoker.errors import StokerError, UsageError
from stoker.generator_result import GeneratorResult
from stoker.models import DownloadProgress, HubFile, Model, gguf_names
from stoker.models.sources import download_store

#: What downloads leave beside a model's files.
_NOT_OF_IT = re.compile(r".*\.(partial|lock|incomplete)|.*/?\.(cache|git)(/.*)?")


@dataclass(frozen=True, slots=True)
class Weights:
    """One model: its files by their path in ``folder``, which is below the downloaded models."""

    name: str
    folder: str
    files: dict[str, Path]
    #: What `stoker up` calls it on the target; empty where it is called by its path.
    model_name: str = ""
    license: str = ""


def collect(name: str, work: Path, report: Callable[[DownloadProgress], None]) -> Weights:
    """The files of the model ``name``.

    It is a name or path that `stoker up` takes, ``oci://REGISTRY/NAME:TAG`` or ``oci:FOLDER``.

    What is not on this machine is downloaded. Raises ``StokerError``.
    """
    if name.startswith("oci:"):
        layout = _layout(name, work, report)
        artifact = modelpack.read(layout, work)
        return Weights(artifact.name, f"bundled/{_plain(artifact.name)}", artifact.files)
    model = _fetched(name, report)
    if model.path is None:
        raise StokerError(f"{name} has no files on this machine.")
    is_path = models.is_path(name)
    model_name = name if not is_path and _is_found_offline(name) else ""
    # The site has no use for the folders of this machine.
    shown = model.path.name if is_path else name
    folder, files = _folder(model, model.path), _files(model.path)
    return Weights(shown, folder, files, model_name, model.license or "")


def _layout(name: str, work: Path, report: Callable[[DownloadProgress], None]) -> Path:
    """The folder of an OCI layout: what is in a registry is fetched into one."""
    if not name.startswith(modelpack_registry.SCHEME):
        return paths.expanded(name.removeprefix("oci:"))
    called = hashlib.sha256(name.encode()).hexdigest()[:16]
    return modelpack_registry.pull(name, work / called, report)


def _fetched(name: str, report: Callable[[DownloadProgress], None]) -> Model:
    found = models.resolve(name)
    here = next((model for model in found if model.path is not None), found[0])
    fetching = GeneratorResult(models.fetch(here))
    for progress in fetching:
        report(progress)
    return fetching.value


def _is_found_offline(name: str) -> bool:
    """Whether the catalogue alone leads from the name to its files."""
    return any(model.path is not None for model in models.named(name, here=True))


def _folder(model: Model, path: Path) -> str:
    """Where the model lies below the folder of downloaded models."""
    kept = (paths.cache_dir() / "models").resolve()
    absolute = path.absolute()
    top = absolute if path.is_dir() else absolute.parent
    for each in (top, top.resolve()):
        if each.is_relative_to(kept) and each != kept:
            return each.relative_to(kept).as_posix()
        if each == kept:
            return ""
    if model.package_index is not None:
        return ""
    if model.hub is not None or re.fullmatch(r"[\w.-]+/[\w.-]+", model.id):
        repo = model.hub.repo if model.hub else model.id
        revision = top.name if top.parent.name == "snapshots" else "main"
        return download_store.hub_path(HubFile(repo, None, revision)).as_posix()
    return f"bundled/{_plain(model.served_name or path.stem)}"


def _files(path: Path) -> dict[str, Path]:
    if path.is_file():
        parts = {part: path.with_name(part) for part in gguf_names.all_parts(path.name)}
        missing = [part for part, file in parts.items() if not file.is_file()]
        if missing:
            raise StokerError(
                f"{path.name} is not whole.",
                f"{', '.join(missing)} is missing.",
                "Download it again.",
            )
        return parts
    found = {each.relative_to(path).as_posix(): each for each in sorted(path.rglob("*"))}
    files = {n: f for n, f in found.items() if f.is_file() and not _NOT_OF_IT.fullmatch(n)}
    if not files:
        raise UsageError(f"There are no files in {path}.")
    return files


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "model"
