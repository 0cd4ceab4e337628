"""A model that the user points at: a GGUF file, or a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

from stoker import paths
from stoker.errors import StokerError, UsageError
from stoker.models import gguf_file, gguf_names, safetensors_dir
from stoker.models.model import Model


def exists(path: Path) -> bool:
    """Whether there is such a file or folder. A name that is too long for the system is not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def load(path: Path) -> Model:
    """The model at ``path``. Raises ``StokerError`` where there is none, or it is damaged."""
    path = paths.expanded(path)
    if not exists(path):
        raise UsageError(
            f"There is no file or folder {path}.",
            "",
            "Check the path. A hub id is written org/name, with no dots or slashes in front.",
        )
    if path.is_file():
        return gguf_file.load(path)
    if (path / "config.json").is_file():
        return safetensors_dir.load(path)
    return gguf_file.load(_only_gguf(path))


def _only_gguf(folder: Path) -> Path:
    """The one model among the folder's GGUF files; later parts of a split file don't count."""
    firsts = filter(gguf_names.is_first_of_model, (file.name for file in folder.glob("*.gguf")))
    files = sorted(folder / name for name in gguf_names.without_companions(firsts))
    if len(files) == 1:
        return files[0]
    if not files:
        raise StokerError(
            f"There is no model in {folder}.",
            "It has neither a config.json with safetensors nor a GGUF file.",
            "Give a GGUF file, or the folder that contains config.json.",
        )
    raise StokerError(
        f"{folder} has {len(files)} GGUF models.",
        f"They are {', '.join(file.name for file in files[:8])}.",
        "Give the path of one of them.",
    )
