"""Read a Hugging Face folder: config.json, tokenizer files and safetensors headers, no weights.

The format of the weights: https://huggingface.co/docs/safetensors/index#format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from stoker.errors import StokerError
from stoker.models.hf_config import architecture_from_config, text_part
from stoker.models.model import Architecture, Model

#: The limit of the safetensors library itself.
MAX_HEADER_BYTES = 100_000_000
#: config.json and its neighbours are small; a larger one is not what it claims to be.
MAX_JSON_BYTES = 64 << 20
#: Any of these makes a folder servable; the names are those of transformers and mistral-common.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json")
#: One stored value of these types is one weight; packed integers hold several.
UNPACKED = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I8"})
#: What some checkpoints call a form of weights that has a word of its own here.
FORMS = {"auto-round": "int4", "w4a16_awq": "awq", "fbgemm_fp8": "fp8", "fp8_pb_wo": "fp8"}
#: What gives the length of the context, of which vLLM takes the smallest
#: (``derive_max_model_len_and_key``).
CONTEXT_FIELDS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
#: Rope types whose ``max_position_embeddings`` includes the scaling already, as in vLLM's
#: ``_get_and_verify_max_len`` (vllm/config/model.py).
INCLUDED_SCALING = ("su", "longrope", "llama3", "mrope", "default")
#: The same for a whole family: Gemma 3's 131,072 are 16,384 scaled by 8.
INCLUDED_FAMILY = "gemma3"


def load(folder: Path) -> Model:
    """The model in a Hugging Face folder.

    Raises ``StokerError`` for a file that is missing, damaged or contradicts another.
    """
    config = read_json(folder / "config.json")
    shape = architecture(config, str(folder / "config.json"))
    shards = _shards(folder)
    headers = [_tensors(shard) for shard in shards]
    _check_index(folder, headers)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise _unusable(
            folder, "It has no tokenizer: no tokenizer.json, tokenizer.model or tekken.json."
        )
    return Model(
        id=folder.resolve().name,
        format="safetensors",
        origin="file",
        served_name=folder.resolve().name.lower(),
        path=folder,
        quantization=quantization(config, folder),
        parameters=_parameters(headers),
        weights_bytes=sum(shard.stat().st_size for shard in shards),
        architecture=shape,
        max_context_tokens=max_context_tokens(config),
        chat_template=_chat_template(folder),
    )


def architecture(config: dict[str, Any], where: str) -> Architecture:
    """The shape in a config.json; ``where`` names the file in the ``StokerError`` raised."""
    try:
        return architecture_from_config(config)
    except StokerError as error:
        raise StokerError(f"{where} cannot be used: {error.what}", error.why, error.fix) from error


def max_context_tokens(config: dict[str, Any]) -> int | None:
    """The context with the rope scaling that the model ships, derived as vLLM does.

    Raises ``StokerError`` for a scaling factor that is none.
    """
    text = text_part(config)
    lengths = [text[name] for name in CONTEXT_FIELDS if _is_length(text.get(name))]
    if not lengths:
        return None
    positions: int = min(lengths)
    if INCLUDED_FAMILY in str(text.get("model_type") or config.get("model_type")):
        return positions
    return min((_scaled(positions, rope) for rope in _ropes(text)), default=positions)


def _ropes(text: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rope settings that scale: of the whole model, or of each kind of layer."""
    rope = text.get("rope_parameters") or text.get("rope_scaling")
    if not isinstance(rope, Mapping):
        return []
    nested = [part for part in rope.values() if isinstance(part, Mapping)]
    parts = [rope] if "factor" in rope else nested
    return [part for part in parts if part.get("factor") is not None]


def _scaled(positions: int, rope: Mapping[str, Any]) -> int:
    """``positions`` scaled by the factor of ``rope``, which may be written as text."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind in INCLUDED_SCALING:
        return positions
    original = rope.get("original_max_position_embeddings")
    try:
        length = int(float(original or positions) * float(rope["factor"]))
        if length <= 0:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise StokerError(
            f"config.json scales the context by {repr(rope['factor'])[:40]}, from "
            f"{repr(original or positions)[:40]} tokens.",
            "Both must be positive numbers.",
            "Check the file against the model's page, or download it again.",
        ) from None
    return length


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def quantization(config: dict[str, Any], folder: Path | None = None) -> str | None:
    """How the weights are stored, in the catalogue's terms, such as ``awq`` or ``int8``.

    ``None`` for plain weights. What the catalogue has no word for keeps its own name.
    """
    settings = config.get("quantization_config") or text_part(config).get("quantization_config")
    if settings is None and folder is not None and (folder / "hf_quant_config.json").is_file():
        found = read_json(folder / "hf_quant_config.json").get("quantization", {})
        return _form(found.get("quant_algo") or "modelopt")
    if not isinstance(settings, dict):
        return None
    form = _form(settings.get("quant_algo") or settings.get("quant_method") or "unknown")
    if form == "compressed-tensors":
        return _compressed_tensors(settings) or form
    bits = settings.get("bits", 4)
    if form in ("awq", "gptq", "int4") and bits != 4:
        return "int8" if bits == 8 else f"{form}-{bits}bit"
    return form


def _form(method: object) -> str:
    name = str(method).lower()
    return FORMS.get(name, name)


def _compressed_tensors(settings: dict[str, Any]) -> str | None:
    """The quantization in that container: its widest group, as the narrower only save memory."""
    groups = settings.get("config_groups")
    found = [
        (weights.get("num_bits"), weights.get("type", "int"), weights.get("group_size"))
        for group in (groups.values() if isinstance(groups, dict) else ())
        if isinstance(group, dict) and isinstance(weights := group.get("weights"), dict)
    ]
    if any(bits == 8 for bits, _, _ in found):
        return "fp8" if any(kind == "float" for bits, kind, _ in found if bits == 8) else "int8"
    if not found or any(bits != 4 for bits, _, _ in found):
        return None
    _, kind, size = found[0]
    if kind == "float":
        return "mxfp4" if size == 32 else "nvfp4"
    return "int4"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises ``StokerError`` where it is missing or not one."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(MAX_JSON_BYTES))
    except OSError as error:
        raise _unusable(path, f"{error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise _unusable(path, f"It is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise _unusable(path, "It is not a JSON object.")
    return value


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(_weight_map(index).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise _unusable(
                folder,
                f"{len(missing)} of {len(names)} weight files are missing: {missing[0]}, ...",
            )
        return [folder / name for name in names]
    shards = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors"))
    if not shards:
        raise _unusable(folder, "It has no weights: no *.safetensors file.")
    return shards


def _weight_map(index: Path) -> dict[str, str]:
    weight_map = read_json(index).get("weight_map")
    names = weight_map.values() if isinstance(weight_map, dict) else ()
    # A name with a folder in it would reach outside the model.
    if not names or not all(isinstance(n, str) and n == Path(n).name for n in names):
        raise _unusable(index, "Its weight_map does not name the weight files.")
    return dict(weight_map or {})


def _tensors(shard: Path) -> dict[str, Any]:
    """The tensor table of one safetensors file, checked against the size of the file."""
    size = shard.stat().st_size
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise _unusable(shard, f"It has {size:,} bytes and its header claims {length:,}.")
        try:
            header = json.loads(file.read(length))
            tensors = {name: row for name, row in header.items() if name != "__metadata__"}
            ends = [row["data_offsets"][1] for row in tensors.values() if prod(row["shape"]) >= 0]
            needed = 8 + length + max(ends, default=0)
        except (ValueError, AttributeError, KeyError, IndexError, TypeError, RecursionError):
            raise _unusable(shard, "Its header is damaged.") from None
    if size < needed:
        raise _unusable(shard, f"It is incomplete: {size:,} of {needed:,} bytes.")
    return tensors


def _check_index(folder: Path, headers: list[dict[str, Any]]) -> None:
    """Raise where the index names a tensor that no file has."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    stored = {name for header in headers for name in header}
    absent = [name for name in _weight_map(index) if name not in stored]
    if absent:
        raise _unusable(index, f"It names {len(absent)} tensors that no file has: {absent[0]}, ...")


def _parameters(headers: list[dict[str, Any]]) -> int | None:
    """The number of weights, or ``None`` where they are packed and cannot be counted by shape."""
    rows = [row for header in headers for row in header.values()]
    if any(row.get("dtype") not in UNPACKED for row in rows):
        return None
    return sum(int(prod(row["shape"])) for row in rows)


def _chat_template(folder: Path) -> str | None:
    """The chat template, from the newest place to the oldest that transformers looks in."""
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        return jinja.read_text(encoding="utf-8", errors="replace")
    for name in ("chat_template.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            template = read_json(folder / name).get("chat_template")
            if isinstance(template, list):
                named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
                template = named.get("tool_use") or named.get("default")
            if isinstance(template, str):
                return template
    return None


def _unusable(path: Path, why: str) -> StokerError:
    return StokerError(f"{path} cannot be served.", why, "Download it again, or correct it.")
