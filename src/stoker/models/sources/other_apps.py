"""Models that other programs have put on this machine: Hugging Face tools, Ollama, LM Studio.

They are only ever read. Finding them lists folders; a file is opened when its facts are needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stoker import paths
from stoker.models import gguf_names

#: Ollama's media type of the layer that is the GGUF file (server/model.go of ollama/ollama).
OLLAMA_MODEL_LAYER = "application/vnd.ollama.image.model"
#: A manifest is 1 KB; what is larger is something else.
MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model on this disk. ``sha256`` is that of its file, where the program records it."""

    id: str
    path: Path
    program: str
    sha256: str | None = None


def scan() -> list[FoundModel]:
    """Every model that another program keeps here, each once. What cannot be read is left out."""
    return [*_hub_cache(), *_ollama(), *_lm_studio()]


def hub_folders() -> list[FoundModel]:
    """Whole repositories in the cache of Hugging Face tools."""
    return [found for found in _hub_cache() if found.path.is_dir()]


def ollama_file(model: str) -> Path | None:
    """The file that Ollama serves as ``model``, where it lies on this disk."""
    return next((found.path for found in _ollama() if found.id == model), None)


def lm_studio_file(model: str) -> Path | None:
    """The file that LM Studio serves as ``model``, where it lies on this disk.

    LM Studio names a model after its repository; of several quantizations any will do, for their
    tokens are the same.
    """
    wanted = model.rpartition("/")[2].partition("@")[0].lower()
    return next((f.path for f in _lm_studio() if _lm_studio_name(f.id) == wanted), None)


def _lm_studio_name(found: str) -> str:
    """``acme/Tiny-GGUF:tiny-Q4_K_M.gguf`` is served as ``tiny``."""
    repository = found.partition(":")[0].rpartition("/")[2]
    return repository.lower().removesuffix("-gguf")


def _hub_cache() -> Iterator[FoundModel]:
    """GGUF files and whole folders in the cache of Hugging Face tools (``HF_HUB_CACHE``)."""
    for repo_folder in _folders(hub_cache_folder(), "models--*"):
        repo = repo_folder.name.removeprefix("models--").replace("--", "/", 1)
        snapshot = _current_snapshot(repo_folder)
        if snapshot is None:
            continue
        if (snapshot / "config.json").is_file() and any(snapshot.glob("*.safetensors")):
            yield FoundModel(repo, snapshot, "the hub cache")
        for path in _ggufs(snapshot):
            # The cache names each large file by its SHA-256.
            digest = path.resolve().name
            sha256 = digest if len(digest) == 64 else None
            name = path.relative_to(snapshot).as_posix()
            yield FoundModel(f"{repo}:{name}", path, "the hub cache", sha256)


def hub_cache_folder() -> Path:
    """The cache of Hugging Face tools, by huggingface_hub's rules; importing that takes 0.5 s."""
    if folder := os.environ.get("HF_HUB_CACHE"):
        return paths.expanded(folder)
    home = os.environ.get("HF_HOME")
    if home is None:
        cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        home = str(Path(cache) / "huggingface")
    return paths.expanded(home) / "hub"


def _current_snapshot(repo_folder: Path) -> Path | None:
    try:
        revision = (repo_folder / "refs" / "main").read_text(encoding="utf-8").strip()
        if revision and (repo_folder / "snapshots" / revision).is_dir():
            return repo_folder / "snapshots" / revision
    except (OSError, UnicodeDecodeError):
        pass
    snapshots = list(_folders(repo_folder / "snapshots", "*"))
    return max(snapshots, key=lambda path: path.stat().st_mtime, default=None)


def _ollama() -> Iterator[FoundModel]:
    for folder in _ollama_folders():
        for manifest in sorted((folder / "manifests").glob("*/*/*/*")):
            digest = _model_digest(manifest)
            if digest is None:
                continue
            blob = folder / "blobs" / digest.replace(":", "-", 1)
            registry, namespace, name, tag = manifest.relative_to(folder / "manifests").parts
            short = name if namespace == "library" else f"{namespace}/{name}"
            full = short if registry == "registry.ollama.ai" else f"{registry}/{short}"
            if blob.is_file():
                yield FoundModel(f"{full}:{tag}", blob, "Ollama", digest.removeprefix("sha256:"))


def _ollama_folders() -> list[Path]:
    """Where Ollama keeps models: of this user, or of the service that its installer makes."""
    if folder := os.environ.get("OLLAMA_MODELS"):
        return [paths.expanded(folder)]
    return [Path.home() / ".ollama/models", Path("/usr/share/ollama/.ollama/models")]


def _model_digest(manifest: Path) -> str | None:
    try:
        with manifest.open("rb") as file:
            layers = json.loads(file.read(MAX_MANIFEST_BYTES))["layers"]
        return next(str(row["digest"]) for row in layers if row["mediaType"] == OLLAMA_MODEL_LAYER)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None


def _lm_studio() -> Iterator[FoundModel]:
    """LM Studio keeps ``publisher/repository/file.gguf``; older versions under ``.cache``."""
    for root in (Path.home() / ".lmstudio/models", Path.home() / ".cache/lm-studio/models"):
        for repository in _folders(root, "*/*"):
            for path in _ggufs(repository):
                name = f"{repository.parent.name}/{repository.name}:{path.name}"
                yield FoundModel(name, path, "LM Studio")


def _ggufs(folder: Path) -> list[Path]:
    """The models among the GGUF files under ``folder``: no projectors, no later parts."""
    return [
        path
        for path in sorted(folder.rglob("*.gguf"))
        if gguf_names.is_first_of_model(path.relative_to(folder).as_posix()) and path.is_file()
    ]


def _folders(root: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in root.glob(pattern) if path.is_dir())
    except OSError:
        return []
