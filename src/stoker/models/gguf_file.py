"""Read what a GGUF file says of itself, without its weights and without its token lists.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The ``gguf`` package reads
it too, but decodes every token: 11 s for the 150,000 tokens of Qwen2.5 against 0.1 s here.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from stoker.data import table
from stoker.errors import StokerError
from stoker.models.types import Architecture, AttentionLayers, Model

MAGIC = b"GGUF"
#: The header of a model with 150,000 tokens takes 6 MB; larger ones are read in a second step.
FIRST_READ_BYTES = 8 << 20
#: No header comes near this: 1,000,000 tokens with merges are 40 MB.
MAX_HEADER_BYTES = 256 << 20
#: Arrays up to here (one value a layer) are kept; longer ones (tokens, merges) are only counted.
MAX_KEPT_ARRAY = 1024
MAX_DIMENSIONS = 4
#: The largest models have 2,000 tensors and 100 metadata values.
MAX_TENSORS, MAX_VALUES = 200_000, 10_000

_U32, _U64, _I32 = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct("<i")
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: _U32,
    5: _I32,
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: _U64,
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_STRING, _ARRAY = 8, 9

_PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


class _ShortError(Exception):
    """The bytes at hand end before the header does."""


class _DamagedError(Exception):
    """The header contradicts the format."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One row of the tensor table. ``size_bytes`` is ``None`` for a type that is newer than us."""

    name: str
    shape: tuple[int, ...]
    type_name: str | None
    offset: int
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """All that stands before the weights. ``array_lengths`` counts the lists that were skipped."""

    metadata: dict[str, Any]
    array_lengths: dict[str, int]
    tensors: tuple[Tensor, ...]
    data_offset: int

    @property
    def parameters(self) -> int:
        """The number of weights stored in this file."""
        return sum(prod(t.shape) for t in self.tensors)


class _Cursor:
    """Reads values from bytes in order. Every length is held against what is left to read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, form: struct.Struct) -> Any:
        if self.at + form.size > len(self.data):
            raise _ShortError
        value = form.unpack_from(self.data, self.at)[0]
        self.at += form.size
        return value

    def text(self) -> str:
        size = self.number(_U64)
        self.skip(size)
        return self.data[self.at - size : self.at].decode("utf-8", errors="replace")

    def skip(self, size: int) -> None:
        if size > MAX_HEADER_BYTES:
            raise _DamagedError(f"a field claims {size:,} bytes")
        if self.at + size > len(self.data):
            raise _ShortError
        self.at += size

    def skip_texts(self, count: int) -> None:
        """Step over ``count`` strings: the loop that decides how long reading a header takes."""
        read, data, at = _U64.unpack_from, self.data, self.at
        try:
            for _ in range(count):
                at += 8 + read(data, at)[0]
        except struct.error:
            raise _ShortError from None
        except OverflowError:
            raise _DamagedError("a string claims more bytes than any file has") from None
        if at > len(data):
            raise _ShortError
        self.at = at

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind not in _SCALARS:
            raise _DamagedError(f"it has a metadata type {kind} that the format does not know")
        return self.number(_SCALARS[kind])

    def array(self) -> tuple[int, list[Any] | None]:
        """The array's length, and its values where it is short."""
        kind, count = self.number(_U32), self.number(_U64)
        if count > MAX_HEADER_BYTES:
            raise _DamagedError(f"an array claims {count:,} values")
        if count <= MAX_KEPT_ARRAY:
            return count, [self.value(kind) for _ in range(count)]
        if kind == _STRING:
            self.skip_texts(count)
        elif kind in _SCALARS:
            self.skip(count * _SCALARS[kind].size)
        else:
            raise _DamagedError(f"it has an array of type {kind} that the format does not know")
        return count, None


def read_header(path: Path) -> GgufHeader:
    """The header of the GGUF file at ``path``, checked against the size of the file.

    Raises ``StokerError`` for a file that is not GGUF, is damaged, or ends too early.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(FIRST_READ_BYTES)
            while True:
                try:
                    header = parse_header(data)
                    break
                except _ShortError:
                    if len(data) >= min(size, MAX_HEADER_BYTES):
                        raise
                    data += file.read(min(3 * len(data), MAX_HEADER_BYTES - len(data)))
    except OSError as error:
        raise StokerError(
            f"{path} cannot be read.",
            f"The system says: {error.strerror or error}.",
            "Check the path and its permissions.",
        ) from error
    except _ShortError:
        raise _truncated(path, size, None) from None
    except _DamagedError as error:
        raise StokerError(
            f"{path} is not a usable GGUF file.",
            f"It is damaged: {error}.",
            "Download it again.",
        ) from None
    _check_size(path, size, header)
    return header


def parse_header(data: bytes) -> GgufHeader:
    """The header in the first bytes of a GGUF file. Every count is checked before it is used."""
    cursor = _Cursor(data)
    if data[:4] != MAGIC[: len(data)]:
        raise _DamagedError("it does not start with the letters GGUF")
    cursor.skip(4)
    version = cursor.number(_U32)
    if version not in (2, 3):
        raise _DamagedError(_version_problem(version))
    num_tensors, num_values = cursor.number(_U64), cursor.number(_U64)
    if num_tensors > MAX_TENSORS or num_values > MAX_VALUES:
        raise _DamagedError(f"it claims {num_tensors:,} tensors and {num_values:,} metadata values")
    metadata: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    for _ in range(num_values):
        key, kind = cursor.text(), cursor.number(_U32)
        if kind != _ARRAY:
            metadata[key] = cursor.value(kind)
            continue
        lengths[key], values = cursor.array()
        if values is not None:
            metadata[key] = values
    tensors = tuple(_tensor(cursor) for _ in range(num_tensors))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        raise _DamagedError(f"its alignment is {alignment!r}")
    data_offset = -(-cursor.at // alignment) * alignment
    return GgufHeader(metadata, lengths, tensors, data_offset)


def _version_problem(version: int) -> str:
    if version and version & 0xFFFF == 0:
        return "it is a big-endian file, which this kind of machine cannot run"
    return f"it is version {version} of the format, and llama.cpp reads versions 2 and 3"


def _tensor(cursor: _Cursor) -> Tensor:
    name = cursor.text()
    dimensions = cursor.number(_U32)
    if dimensions > MAX_DIMENSIONS:
        raise _DamagedError(f"its tensor {name!r} has {dimensions} dimensions")
    shape = tuple(cursor.number(_U64) for _ in range(dimensions))
    if prod(shape) >= 1 << 63:
        raise _DamagedError(f"its tensor {name!r} claims {shape} values")
    kind, offset = cursor.number(_U32), cursor.number(_U64)
    known = table("ggml_types")["tensor_types"].get(str(kind))
    if known is None:
        return Tensor(name, shape, None, offset, None)
    type_name, block_elements, block_bytes = known
    return Tensor(name, shape, type_name, offset, prod(shape) // block_elements * block_bytes)


def _check_size(path: Path, size: int, header: GgufHeader) -> None:
    ends = (t.offset + (t.size_bytes or 0) for t in header.tensors)
    needed = header.data_offset + max(ends, default=0)
    if size < needed:
        raise _truncated(path, size, needed)


def _truncated(path: Path, size: int, needed: int | None) -> StokerError:
    why = f"It has {size:,} bytes" + (
        f" of {needed:,}." if needed else " and its header ends early."
    )
    return StokerError(f"{path} is incomplete.", why, "Download it again.")


def part_number(path: Path) -> int | None:
    """2 for ``name-00002-of-00003.gguf``; ``None`` for a model in one file."""
    match = _PART.fullmatch(path.name)
    return int(match["number"]) if match else None


def load(path: Path) -> Model:
    """The model in a GGUF file; of a split file (``-00001-of-00003``) give the first part.

    Raises ``StokerError`` where the file, or one of its parts, is damaged or missing.
    """
    header = read_header(path)
    parts = _parts(path, header)
    more = [read_header(part) for part in parts[1:]]
    metadata = header.metadata
    architecture = _architecture(path, header)
    split = _PART.fullmatch(path.name)
    name = split["name"] if split else path.stem
    file_type = metadata.get("general.file_type")
    return Model(
        id=name,
        format="gguf",
        origin="file",
        served_name=name.lower(),
        path=path,
        quantization=table("ggml_types")["file_types"].get(str(file_type)),
        parameters=sum(h.parameters for h in (header, *more)),
        weights_bytes=sum(part.stat().st_size for part in parts),
        architecture=architecture,
        max_context_tokens=architecture.max_position_embeddings,
        chat_template=_text(metadata.get("tokenizer.chat_template")),
        license=_text(metadata.get("general.license")),
    )


def _parts(path: Path, header: GgufHeader) -> list[Path]:
    count = header.metadata.get("split.count", 0)
    if not isinstance(count, int) or count < 2:
        return [path]
    match = _PART.fullmatch(path.name)
    if match is None or int(match["number"]) != 1 or int(match["count"]) != count:
        raise StokerError(
            f"{path} is one of {count} parts of a model, and not the first.",
            "llama.cpp opens a split model by its first part.",
            f"Give the file whose name ends in -00001-of-{count:05}.gguf.",
        )
    parts = [
        path.with_name(f"{match['name']}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1)
    ]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise StokerError(
            f"{path} is incomplete.",
            f"It is a model in {count} parts, and {', '.join(missing)} is missing.",
            "Put all parts in one folder.",
        )
    return parts


def _architecture(path: Path, header: GgufHeader) -> Architecture:
    metadata = header.metadata
    family = _text(metadata.get("general.architecture"))
    if family is None or metadata.get("general.type", "model") != "model":
        raise StokerError(
            f"{path} is not a language model.",
            f"Its header says general.type = {metadata.get('general.type')!r} and "
            f"general.architecture = {family!r}.",
            "Give the file of the model itself, not of an adapter, a projector or a vocabulary.",
        )

    def fact(name: str, default: int | None = None) -> int:
        value = _integer(metadata.get(f"{family}.{name}"))
        if value is None and default is None:
            raise StokerError(
                f"{path} does not say its {family}.{name}.",
                "Memory cannot be planned without it.",
                "Use a file that llama.cpp's own converter wrote.",
            )
        return value if value is not None else default or 0

    heads = fact("attention.head_count")
    hidden = fact("embedding_length")
    kv_heads = fact("attention.head_count_kv", heads)
    head_dim = fact("attention.key_length", hidden // heads if heads else 0)
    return Architecture(
        family=family,
        num_layers=fact("block_count"),
        hidden_size=hidden,
        num_attention_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        attention=_attention(family, metadata),
        vocab_size=fact("vocab_size", header.array_lengths.get("tokenizer.ggml.tokens", 0)),
        intermediate_size=_integer(metadata.get(f"{family}.feed_forward_length")),
        max_position_embeddings=_integer(metadata.get(f"{family}.context_length")),
        tie_word_embeddings=all(t.name != "output.weight" for t in header.tensors),
        raw={k: v for k, v in metadata.items() if not k.startswith("tokenizer.")},
    )


def _attention(family: str, metadata: dict[str, Any]) -> tuple[AttentionLayers, ...]:
    """What the layers keep for a token; empty for the kinds that the header does not spell out.

    llama.cpp keeps a full cache for every layer of these; windows, latent and recurrent layers
    are left to the planner, which then counts every layer as full and so never too little.
    """
    facts = {key.removeprefix(f"{family}."): value for key, value in metadata.items()}
    special = ("attention.sliding_window", "attention.kv_lora_rank", "ssm.state_size")
    heads, kv_heads = facts["attention.head_count"], facts.get("attention.head_count_kv")
    if any(facts.get(name) for name in special) or isinstance(heads, list):
        return ()
    head_dim = facts["embedding_length"] // heads
    keys = facts.get("attention.key_length", head_dim)
    values = facts.get("attention.value_length", head_dim)
    per_layer = kv_heads if isinstance(kv_heads, list) else [kv_heads or heads]
    if isinstance(kv_heads, list):
        counts = Counter(number for number in per_layer if number)
    else:
        counts = Counter({per_layer[0]: facts["block_count"]})
    return tuple(
        AttentionLayers("full", layers, number, keys, values) for number, layers in counts.items()
    )


def _integer(value: object) -> int | None:
    """One number for a fact; where it differs from layer to layer, the largest."""
    if isinstance(value, list):
        numbers = [v for v in value if isinstance(v, int)]
        return max(numbers, default=None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
