"""Resolve a name, or none, to models; and bring the files of one of them to this disk."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from stoker.errors import StokerError, UsageError
from stoker.models.gguf_catalogue import Entry, entries
from stoker.models.model import DownloadProgress, HubFile, Model, Origin
from stoker.models.model_catalogue import find_known_model, nearest_models
from stoker.models.sources import bundled, download_store, other_apps, package_index
from stoker.models.sources import user_path as local

load, exists = local.load, local.exists

_ORDER: tuple[Origin, ...] = ("file", "hub", "disk", "package index", "installed package")
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<selector>[^:]+))?")
#: A model that another program downloaded is chosen automatically only where its name shows that
#: it is made for code: the others may be for anything.
_CODING = re.compile(r"cod(e|er|ing|estral)|devstral", re.IGNORECASE)


def candidates(*, hub_reachable: bool | None = None, offline: bool = False) -> list[Model]:
    """The models that ``stoker up`` may choose without a name, from the best source to the last.

    Sources come in this order: hub, models on disk, package index, the installed SmolLM2; within a
    source the largest model is first. A model whose ``path`` is ``None`` is not downloaded yet.
    """
    here = other_apps.scan()
    hub = hub_reachable is True and _hub_allowed(offline)
    found = [
        model
        for entry in entries()
        if entry.automatic
        for model in _sources(entry, here, hub=hub, index=not offline)
    ]
    known = {model.path for model in found}
    for_code = [other for other in here if _CODING.search(other.id)]
    found += [model for model in _others(for_code) if model.path not in known]
    found.sort(key=lambda model: -(model.weights_bytes or 0))
    return sorted(found, key=lambda model: _ORDER.index(model.origin))


def offered() -> list[Model]:
    """The catalogue of GGUF files for any machine, from each source, best first."""
    found = [
        entry.at(origin) for entry in entries() if entry.automatic for origin in _origins(entry)
    ]
    return sorted(found, key=lambda model: _ORDER.index(model.origin))


def named(name: str, *, here: bool) -> list[Model]:
    """Every form of the model of the catalogue that ``name`` means, best source first.

    All its forms for a short name, else the one that ``name`` selects: a repository, or
    ``repository:QUANTIZATION``. Files on this machine are looked for where ``here``. Empty where
    the catalogue has no such model. No network is used.
    """
    forms = _forms(name)
    entry = next((e for e in entries() if _means(e, name)), None)
    found: list[Model] = []
    if entry is not None:
        disk_here = other_apps.scan() if here else []
        kept = _sources(entry, disk_here, hub=False, index=False) if here else []
        found = kept or [entry.at(origin) for origin in _origins(entry)]
    return [*found, *(with_files(forms) if here else forms)]


def _origins(entry: Entry) -> list[Origin]:
    sources: dict[Origin, object] = {"hub": entry.hub, "package index": entry.package_index}
    return [origin for origin, source in sources.items() if source is not None]


def _forms(name: str) -> list[Model]:
    repo, _, quantization = name.casefold().partition(":")
    try:
        known, variant = find_known_model(repo)
    except UsageError:
        return []
    forms = [known.model(form) for form in known.weights]
    if not quantization and repo in {alias.casefold() for alias in known.aliases}:
        return forms
    return [
        form
        for form in forms
        if form.id == variant.id and quantization in ("", (form.quantization or "").casefold())
    ]


def with_files(forms: Iterable[Model]) -> list[Model]:
    """The same models; those that Stoker, or a tool of Hugging Face, downloaded with their path."""
    repos = download_store.repositories()
    folders = {found.id: found.path for found in other_apps.hub_folders()}
    return [_with_files(form, repos, folders) for form in forms]


def _with_files(form: Model, repos: frozenset[str], folders: Mapping[str, Path]) -> Model:
    path = download_store.downloaded(form) if form.id in repos else None
    if path is None and form.format == "safetensors":
        path = folders.get(form.id)
    if path is None:
        return form
    try:
        return _read(form, path)
    except StokerError:  # damaged, or not whole: it is downloaded again
        return form


def resolve(
    name: str | None, *, hub_reachable: bool | None = None, offline: bool = False
) -> list[Model]:
    """The models that ``name`` can mean, best source first; with no name, ``candidates``.

    ``name`` is a path, a short name of the catalogue, a model on disk as ``available`` names it,
    or a hub id ``org/name[:quant or file]``, for which the hub is asked. Raises ``StokerError``
    where it means nothing, with the nearest names that do.
    """
    if name is None:
        return candidates(hub_reachable=hub_reachable, offline=offline)
    if is_path(name):
        return [load(Path(name))]
    online = hub_reachable is not False and _hub_allowed(offline)
    here = other_apps.scan()
    entry = next((e for e in entries() if _means(e, name)), None)
    if entry is not None:
        found = _sources(entry, here, hub=online, index=not offline)
        if not found:
            raise _not_here(entry.model.id)
        return found
    found = [_from_disk(f) for f in here if name.casefold() in _names(f)]
    return found or _ask_hub(name, _hub_ids(name, here), allowed=online)


def available() -> list[Model]:
    """Every model that this machine has already, the largest first."""
    here = other_apps.scan()
    found = [
        model for entry in entries() for model in _sources(entry, here, hub=False, index=False)
    ]
    known = {model.path for model in found}
    found += [model for model in _others(here) if model.path not in known]
    return sorted(found, key=lambda model: -(model.weights_bytes or 0))


def fetch(model: Model) -> Generator[DownloadProgress, None, Model]:
    """Return the same model with its files on this machine and its facts read from them.

    Yields often while something is downloaded. Raises ``StokerError`` where the source does not
    answer, the disk is too small or the files are not what they should be. What was downloaded
    stays, and the next call continues, also after the iterator was closed early.
    """
    if model.path is not None and model.chat_template is not None:
        return model
    return _read(model, model.path or (yield from _downloaded(model)))


def _downloaded(model: Model) -> Generator[DownloadProgress, None, Path]:
    if model.package_index is not None:
        return (yield from package_index.fetch(model.package_index))
    if model.origin == "hub":
        path: Path = yield from _hub().fetch(model.hub or _located(model))
        return path
    raise StokerError(f"There is no source for {model.id}.", "", "Give the path of its file.")


def _located(form: Model) -> HubFile:
    """Where the hub has a form that the catalogue names by repository and quantization."""
    selector = form.quantization if form.format == "gguf" else None
    listed: list[Model] = _hub().find(form.id, selector)
    found = next((model for model in listed if model.format == form.format), None)
    if found is None or found.hub is None:
        raise StokerError(
            f"{form.id} no longer has the files that the catalogue names.",
            f"The hub lists no such files of the format {form.format}.",
            "Name another model, or give the path of a file.",
        )
    return found.hub


def _hub() -> ModuleType:
    from stoker.models.sources import hub  # noqa: PLC0415 - half a second, where it is not needed

    return hub


# --- sources of one model --------------------------------------------------------------------


def _sources(
    entry: Entry, here: list[other_apps.FoundModel], *, hub: bool, index: bool
) -> list[Model]:
    """Where ``entry`` is on this machine; else the places that it may be downloaded from."""
    # The catalogue's facts hold for the file; ``fetch`` reads the rest before it is served.
    found = [replace(entry.at("disk"), path=f.path) for f in here if _is_entry(f, entry)][:1]
    found += _from_hub(entry, allowed=hub)
    found += _from_package_index(entry, allowed=index)
    return [model for model in found if model.path is not None] or found


def _from_hub(entry: Entry, *, allowed: bool) -> list[Model]:
    if entry.hub is None:
        return []
    downloaded = download_store.finished(download_store.hub_path(entry.hub), entry.size_bytes)
    if downloaded is not None:
        return [replace(entry.at("hub"), path=downloaded)]
    return [entry.at("hub")] if allowed else []


def _from_package_index(entry: Entry, *, allowed: bool) -> list[Model]:
    """``entry`` as a downloaded file, an installed one, or else as something to download."""
    file = entry.package_index
    if file is None:
        return []
    downloaded = download_store.finished(Path(file.filename), file.size_bytes)
    if downloaded is not None:
        return [replace(entry.at("package index"), path=downloaded)]
    installed = bundled.path_of(file.parts[0]) if len(file.parts) == 1 else None
    if installed is not None:
        return [replace(entry.at("installed package"), path=installed)]
    return [entry.at("package index")] if allowed else []


def _is_entry(found: other_apps.FoundModel, entry: Entry) -> bool:
    """Whether a file on disk is the one that the catalogue describes, byte for byte if it can."""
    if found.sha256 is not None:
        return found.sha256 == entry.sha256
    return (
        found.path.name.casefold() == entry.filename.casefold()
        and found.path.stat().st_size == entry.size_bytes
    )


def _others(here: list[other_apps.FoundModel]) -> list[Model]:
    """Chat models of other programs. A damaged file, or one that is no chat model, is left out."""
    models = []
    for found in here:
        try:
            model = _from_disk(found)
        except StokerError:
            continue
        if model.chat_template is not None:
            models.append(model)
    return models


def _from_disk(found: other_apps.FoundModel) -> Model:
    loaded = load(found.path)
    served = re.sub(r"[^\w.-]+", "-", found.id.rpartition("/")[2].removesuffix(".gguf")).lower()
    return replace(loaded, id=found.id, origin="disk", served_name=served)


def _read(model: Model, path: Path) -> Model:
    """``model`` with the facts of its files; its names, quantization and original's size stay."""
    loaded = load(path)
    return replace(
        loaded,
        id=model.id,
        origin=model.origin,
        served_name=model.served_name,
        quantization=model.quantization or loaded.quantization,
        parameters=model.parameters or loaded.parameters,
        license=model.license or loaded.license,
        hub=model.hub,
        package_index=model.package_index,
    )


def read_again(model: Model) -> Model:
    """``model`` with the facts of its files where its shape was left out, as in a deployment's
    file. Raises ``StokerError`` where they can't be read.
    """
    if model.architecture is not None or model.path is None:
        return model
    return _read(model, model.path)


# --- names -----------------------------------------------------------------------------------


def is_path(name: str) -> bool:
    """Whether ``name`` means a file or a folder, there or not, and no model by its name."""
    looks = name.startswith((".", "~", os.sep)) or Path(name).is_absolute()
    gguf = name.lower().endswith(".gguf") and ":" not in name
    return looks or gguf or (bool(name) and exists(Path(name)))


def _means(entry: Entry, name: str) -> bool:
    """A short name, or the entry's own hub id with its quantization, its file, or neither."""
    wanted = name.casefold()
    names = {entry.model.id.casefold()}
    if entry.hub is not None:
        repo = entry.hub.repo.casefold()
        quant = (entry.model.quantization or "").casefold()
        names |= {repo, f"{repo}:{quant}", f"{repo}:{entry.filename.casefold()}"}
    return wanted in names


def _names(found: other_apps.FoundModel) -> set[str]:
    """The names that a user may give for a model on disk: its id, and a hub id without its file."""
    full = found.id.casefold()
    return {full, full.removesuffix(":latest")}


def _hub_ids(name: str, here: list[other_apps.FoundModel]) -> list[tuple[str, str | None]]:
    """The repositories, with quantization or file, that ``name`` means: an id, or a known model."""
    match = _HUB_ID.fullmatch(name)
    if match is not None:
        return [(match["repo"], match["selector"])]
    try:
        known, variant = find_known_model(name)
    except UsageError:
        raise _unknown(name, here) from None
    # A short name leaves open which weights: plain for a GPU, GGUF for llama.cpp.
    ggufs = [v for v in known.variants if v.format == "gguf"] if variant.id == known.id else []
    return [(v.id, v.file) for v in (variant, *ggufs)]


def _ask_hub(name: str, ids: list[tuple[str, str | None]], *, allowed: bool) -> list[Model]:
    """What the hub has under any of ``ids``; the first error where it has none."""
    if not allowed:
        raise _not_here(name)
    found: list[Model] = []
    errors: list[StokerError] = []
    for repo, selector in ids:
        try:
            found += _hub().find(repo, selector)
        except StokerError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found


def _hub_allowed(offline: bool) -> bool:
    return not offline and not download_store.hub_is_forbidden()


def _not_here(name: str) -> StokerError:
    return StokerError(
        f"{name} is not on this machine.",
        "The hub has it, but cannot be reached or may not be asked (--offline, HF_HUB_OFFLINE).",
        "Run the command once with a network, or give the path of a model's files.",
    )


def _unknown(name: str, here: list[other_apps.FoundModel]) -> UsageError:
    local = difflib.get_close_matches(name.casefold(), [found.id for found in here], n=2)
    near = [*local, *nearest_models(name)]
    short = ", ".join(entry.model.id for entry in entries())
    return UsageError(
        f"There is no model {name!r}.",
        f"Did you mean {' or '.join(near)}?" if near else f"Some known models: {short}.",
        "Give a short name, a hub id such as org/name, or the path of a GGUF file.",
    )
