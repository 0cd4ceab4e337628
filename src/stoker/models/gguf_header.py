"""Read a GGUF file's header, without the weights and without the token lists.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The ``gguf`` package reads
it too, but decodes every token, which takes seconds for the 150,000 tokens of Qwen2.5 and 40 ms
here (``benchmarks/model_read_time.py``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

from stoker.data.facts import load_table
from stoker.errors import StokerError

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


class Readable(Protocol):
    """A file, or the start of one on the hub."""

    def read(self, size: int, /) -> bytes: ...


class _ShortError(Exception):
    """The available bytes end before the header does."""


class _DamagedError(Exception):
    """The header contradicts the format."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One row of the tensor table. ``size_bytes`` is ``None`` for an unknown type."""

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
    """Reads values from bytes in order. Every length is checked against what is left to read."""

    def __init__(self, data: bytes, max_kept_array: int) -> None:
        self.data = data
        self.at = 0
        self.max_kept_array = max_kept_array

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
        """Skip ``count`` strings: most of the time that reading a header takes is spent here."""
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
        if count <= self.max_kept_array:
            return count, [self.value(kind) for _ in range(count)]
        if kind == _STRING:
            self.skip_texts(count)
        elif kind in _SCALARS:
            self.skip(count * _SCALARS[kind].size)
        else:
            raise _DamagedError(f"it has an array of type {kind} that the format does not know")
        return count, None


def read(
    source: Readable, where: str, size: int, *, max_kept_array: int = MAX_KEPT_ARRAY
) -> GgufHeader:
    """The header at the start of ``source``, a GGUF file of ``size`` bytes called ``where``.

    Arrays longer than ``max_kept_array`` are only counted.

    Raises ``StokerError`` for a file that is not GGUF, is damaged, or ends too early.
    """
    data = source.read(FIRST_READ_BYTES)
    while True:
        try:
            header = parse(data, max_kept_array)
            break
        except _DamagedError as error:
            raise StokerError(
                f"{where} is not a usable GGUF file.",
                f"It is damaged: {error}.",
                "Download it again.",
            ) from None
        except _ShortError:
            more = source.read(min(3 * len(data), MAX_HEADER_BYTES - len(data)))
            if not more:
                raise _truncated(where, size, None) from None
            data += more
    ends = (t.offset + (t.size_bytes or 0) for t in header.tensors)
    needed = header.data_offset + max(ends, default=0)
    if size < needed:
        raise _truncated(where, size, needed)
    return header


def parse(data: bytes, max_kept_array: int = MAX_KEPT_ARRAY) -> GgufHeader:
    """The header in the first bytes of a GGUF file. Every count is checked before it is used."""
    cursor = _Cursor(data, max_kept_array)
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
    known = load_table("ggml_types")["tensor_types"].get(str(kind))
    if known is None:
        return Tensor(name, shape, None, offset, None)
    type_name, block_elements, block_bytes = known
    return Tensor(name, shape, type_name, offset, prod(shape) // block_elements * block_bytes)


def _truncated(where: str, size: int, needed: int | None) -> StokerError:
    why = f"It has {size:,} bytes" + (
        f" of {needed:,}." if needed else " and its header ends early."
    )
    return StokerError(f"{where} is incomplete.", why, "Download it again.")
