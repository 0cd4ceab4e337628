"""What the names of GGUF files give: which of them are models, in which quantization and parts.

The forms of names are those of llama.cpp's ``gguf-split`` and converters, and of the publishers
unsloth, bartowski, ggml-org and mradermacher on the hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

#: How ``gguf-split`` names the files of a model in several parts.
PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_BEGIN, _END = r"(?:^|[-._/ ])", r"(?=$|[-._/ ])"
#: The projector of a model that sees or hears.
_PROJECTOR = re.compile(rf"{_BEGIN}mm[-_]?proj(?:ector)?{_END}|(?:^|/)mmproj", re.IGNORECASE)
#: The statistics of an importance matrix. Models made with one have the word beside their type.
_IMATRIX = re.compile(rf"{_BEGIN}imatrix{_END}", re.IGNORECASE)
_QUANTIZED = re.compile(rf"{_BEGIN}I?T?Q\d", re.IGNORECASE)
#: What goes with a model of the same repository: a draft, a predictor or an adapter. A model with
#: such a word in its own name has it in all of its files.
_COMPANION = re.compile(
    rf"{_BEGIN}(?:draft(?:er)?|mtp|nextn|eagle-?\d?|speculator|lora|adapter){_END}", re.IGNORECASE
)


def part_number(name: str) -> int | None:
    """2 for ``name-00002-of-00003.gguf``; ``None`` for a model in one file."""
    match = PART.fullmatch(PurePath(name).name)
    return int(match["number"]) if match else None


def all_parts(name: str) -> list[str]:
    """The names of all parts of the model that ``name`` is a part of; of a whole one its own."""
    match = PART.fullmatch(name)
    if match is None:
        return [name]
    count = int(match["count"])
    return [f"{match['name']}-{n:05}-of-{count:05}.gguf" for n in range(1, count + 1)]


def is_first_of_model(name: str) -> bool:
    """Whether a file (with its folder) is a GGUF file, neither a projector nor the statistics of
    an importance matrix, and the first where it is one of several parts."""
    if not name.lower().endswith(".gguf") or part_number(name) not in (None, 1):
        return False
    base = PurePath(name).name
    if base.lower().startswith("imatrix") or _PROJECTOR.search(name):
        return False
    return not _IMATRIX.search(base) or _QUANTIZED.search(base) is not None


def without_companions(names: Iterable[str]) -> set[str]:
    """``names`` without drafts, predictors and adapters; all where there is nothing else."""
    every = set(names)
    return {name for name in every if not _COMPANION.search(name)} or every


def has_quantization(name: str, quantization: str) -> bool:
    """Whether a file's name, or its folder's, states this quantization."""
    stated = rf"(?:^|[-._/]){re.escape(quantization)}(?:[-./]|$)"
    return re.search(stated, name, re.IGNORECASE) is not None
