"""Add a model to the user's own catalogue: one table in their ``models.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from stoker import paths
from stoker.data.facts import tomllib
from stoker.errors import StokerError, UsageError
from stoker.models.model import Architecture, Model
from stoker.models.model_catalogue import KnownModel, WeightFormat, known_model

#: Parts of a config.json that are long and have no effect on the size.
_LEFT_OUT = {"auto_map", "quantization_config", "id2label", "label2id", "vision_config"}


def add_model(model: Model) -> tuple[KnownModel, Path]:
    """Write ``model`` into the user's ``models.toml`` in place of an entry of the same id.

    Returns the entry as it reads back, and the file. Raises ``StokerError`` where the model's
    files lack something, or where the file cannot be read or written.
    """
    import tomli_w  # noqa: PLC0415  (commands that only read start without it)

    row = _row(model)
    entry = known_model(row)
    path = paths.config_dir() / "models.toml"
    kept = [old for old in _rows(path) if str(old.get("id", "")).casefold() != entry.id.casefold()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tomli_w.dumps({"models": [*kept, row]}), encoding="utf-8")
    except OSError as error:
        raise StokerError(
            f"{path} cannot be written.", f"{error.strerror}.", "Make its folder writable."
        ) from error
    return entry, path


def _row(model: Model) -> dict[str, Any]:
    if model.format == "gguf":
        raise UsageError(
            f"{model.id} is a GGUF file, which needs no entry.",
            "Planning reads all it needs from the file itself.",
            "Give its path to stoker plan or stoker up.",
        )
    if model.architecture is None or model.parameters is None:
        raise StokerError(
            f"{model.id} cannot be added.",
            "Its files give neither its shape nor its number of parameters.",
            "Add the original repository, with config.json and safetensors.",
        )
    context = model.max_context_tokens or model.architecture.max_position_embeddings
    if context is None:
        raise StokerError(
            f"{model.id} cannot be added.",
            "Its files do not give the length of its context window.",
            "Add max_position_embeddings to its config.json.",
        )
    row = {
        "id": model.id,
        "parameters_b": model.parameters / 1e9,
        "max_context_tokens": context,
        "license": model.license or "unknown",
        "purposes": ["chat", "agent"] if model.template_has_tools else ["chat"],
        "native_format": _format(model),
        "weights_bytes": model.weights_bytes,
        "confidence": "high",
        "sources": {"config": str(model.path or f"https://huggingface.co/{model.id}")},
        "config": _config(model.architecture),
    }
    return {key: value for key, value in row.items() if value is not None}


def _config(shape: Architecture) -> dict[str, Any]:
    """The fields of config.json from which ``shape`` can be read again."""
    config: dict[str, Any] = _without_none(
        {key: value for key, value in shape.raw.items() if key not in _LEFT_OUT}
    )
    config |= {"model_type": shape.family, "architectures": [shape.class_name or "unknown"]}
    if shape.tie_word_embeddings is not None:
        config["tie_word_embeddings"] = shape.tie_word_embeddings
    return config


def _without_none(value: Any) -> Any:
    """``value`` without ``None``, which TOML can't write: 0 in lists, which keep their length."""
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [0 if item is None else _without_none(item) for item in value]
    return value


def _format(model: Model) -> str:
    form = model.quantization or "bf16"
    if form not in get_args(WeightFormat):
        raise UsageError(
            f"{model.id} cannot be added.",
            f"Its weights are quantized with {form}, whose size Stoker cannot predict.",
            f"Use weights of one of these: {', '.join(get_args(WeightFormat))}.",
        )
    return form


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        rows: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8")).get(
            "models", []
        )
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise StokerError(
            f"{path} cannot be used.", f"{error}.", "Correct the file, or move it away."
        ) from error
    return rows
