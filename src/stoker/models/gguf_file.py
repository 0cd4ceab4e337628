"""The model in a GGUF file: its header in the terms that planning uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stoker.data.facts import load_table
from stoker.errors import StokerError
from stoker.models import gguf_header
from stoker.models.gguf_header import GgufHeader
from stoker.models.gguf_layers import STATES, GgufLayers
from stoker.models.gguf_names import PART, all_parts
from stoker.models.model import Architecture, Model

#: The number of the block that a tensor belongs to.
_BLOCK = re.compile(r"blk\.(\d+)\.")


def load(path: Path) -> Model:
    """The model in a GGUF file; of a split file (``-00001-of-00003``) give the first part.

    Raises ``StokerError`` where the file, or one of its parts, is damaged or missing.
    """
    header = read_header(path)
    parts = _parts(path, header)
    headers = [header, *(read_header(part) for part in parts[1:])]
    # Of a model in parts the first header lists only its own tensors.
    whole = replace(header, tensors=tuple(t for part in headers for t in part.tensors))
    return replace(
        describe(whole, path.name, whole=True),
        path=path,
        weights_bytes=sum(part.stat().st_size for part in parts),
    )


def read_header(path: Path) -> GgufHeader:
    """The header of the file at ``path``. Raises ``StokerError`` where it is damaged or missing."""
    try:
        with path.open("rb") as file:
            return gguf_header.read(file, str(path), path.stat().st_size)
    except OSError as error:
        raise StokerError(
            f"{path} cannot be read.",
            f"{error.strerror or error}.",
            "Check the path and its permissions.",
        ) from error


def describe(header: GgufHeader, filename: str, *, whole: bool = False) -> Model:
    """The model that one header describes; the caller adds where its weights are.

    ``whole``: the header lists the tensors of all parts. Raises ``StokerError`` where a fact that
    planning needs is missing.
    """
    metadata = header.metadata
    whole = whole or _count_of_parts(header) < 2
    architecture = _architecture(filename, header, whole=whole)
    head_bytes = _mtp_head_bytes(header, architecture) if whole else None
    split = PART.fullmatch(filename)
    name = split["name"] if split else filename.removesuffix(".gguf")
    file_type = metadata.get("general.file_type")
    return Model(
        id=name,
        format="gguf",
        origin="file",
        served_name=name.lower(),
        quantization=load_table("ggml_types")["file_types"].get(str(file_type)),
        parameters=header.parameters,
        architecture=architecture,
        max_context_tokens=architecture.max_position_embeddings,
        chat_template=_text(metadata.get("tokenizer.chat_template")),
        license=_text(metadata.get("general.license")),
        has_mtp_head=bool(head_bytes),
        mtp_head_bytes=head_bytes,
    )


def _mtp_head_bytes(header: GgufHeader, architecture: Architecture) -> int:
    """What the blocks take that predict further tokens; 0 where a file has none.

    A header counts them where the converter left them out, too (``--no-mtp`` of llama.cpp's
    ``convert_hf_to_gguf.py``), so their tensors decide, as in ``llama_model_base::nextn_flags``.
    """
    behind = range(architecture.num_layers, architecture.num_layers + architecture.num_mtp_layers)
    own = [tensor for tensor in header.tensors if _block(tensor.name) in behind]
    if not any(tensor.name.endswith(".nextn.eh_proj.weight") for tensor in own):
        return 0
    return sum(tensor.size_bytes or 0 for tensor in own)


def _block(tensor: str) -> int | None:
    """12 for ``blk.12.attn_q.weight``."""
    match = _BLOCK.match(tensor)
    return int(match[1]) if match else None


def _routed_blocks(header: GgufHeader) -> frozenset[int]:
    blocks = (_block(tensor.name) for tensor in header.tensors if "exps." in tensor.name)
    return frozenset(block for block in blocks if block is not None)


def _count_of_parts(header: GgufHeader) -> int:
    count = header.metadata.get("split.count", 0)
    return count if isinstance(count, int) else 0


def _parts(path: Path, header: GgufHeader) -> list[Path]:
    count = _count_of_parts(header)
    if count < 2:
        return [path]
    match = PART.fullmatch(path.name)
    if match is None or int(match["number"]) != 1 or int(match["count"]) != count:
        raise StokerError(
            f"{path} is one of {count} parts of a model, and not the first.",
            "llama.cpp opens a split model by its first part.",
            f"Give the file whose name ends in -00001-of-{count:05}.gguf.",
        )
    parts = [path.with_name(name) for name in all_parts(path.name)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise StokerError(
            f"{path} is incomplete.",
            f"It is a model in {count} parts, and {', '.join(missing)} is missing.",
            "Put all parts in one folder.",
        )
    return parts


def _makes_embeddings(family: str, metadata: Mapping[str, Any]) -> bool:
    """Whether a model answers with a vector: it pools its tokens.

    Encoders are of the families with ``bert`` in their name, ``t5encoder`` and
    ``gemma-embedding``; embedding models made of chat models (Qwen3-Embedding) keep the family and
    give a pooling type. Source: llama.cpp's gguf-py/gguf/constants.py, ``MODEL_ARCH_NAMES`` and
    ``PoolingType``, of which 0 is none.
    """
    encodes = "bert" in family or family in ("t5encoder", "gemma-embedding")
    pools = _integer(metadata.get(f"{family}.pooling_type")) or 0
    return encodes or pools > 0


def _architecture(where: str, header: GgufHeader, *, whole: bool) -> Architecture:
    metadata = header.metadata
    family = _text(metadata.get("general.architecture"))
    if family is None or metadata.get("general.type", "model") != "model":
        raise StokerError(
            f"{where} is not a language model.",
            f"Its header has general.type = {metadata.get('general.type')!r} and "
            f"general.architecture = {family!r}.",
            "Give the file of the model itself, not of an adapter, a projector or a vocabulary.",
        )
    if _makes_embeddings(family, metadata):
        raise StokerError(
            f"{where} makes embeddings and can't chat.",
            f"It is a model of the family {family}, whose answer to a text is one vector.",
            "Choose a chat model. For embeddings, run this file with llama-server --embeddings.",
        )
    if "tokenizer.ggml.model" not in metadata:
        raise StokerError(
            f"{where} has no tokenizer.",
            "Its header lacks tokenizer.ggml.model, which llama.cpp needs to serve it.",
            "Use a file that llama.cpp's own converter wrote.",
        )

    def fact(name: str, default: int | None = None) -> int:
        value = _integer(metadata.get(f"{family}.{name}"))
        if value is None and default is None:
            raise StokerError(
                f"{where} has no {family}.{name} in its header.",
                "Memory cannot be planned without it.",
                "Use a file that llama.cpp's own converter wrote.",
            )
        return value if value is not None else default or 0

    _check_counts(where, family, metadata)
    heads = fact("attention.head_count")
    hidden = fact("embedding_length")
    kv_heads = fact("attention.head_count_kv", heads)
    head_dim = fact("attention.key_length", hidden // heads if heads else 0)
    facts = {key.removeprefix(f"{family}."): value for key, value in metadata.items()}
    fact("block_count")  # raises where it is missing
    layers = GgufLayers(family, facts, _routed_blocks(header) if whole else None)
    experts = layers.experts()
    return Architecture(
        family=family,
        num_layers=layers.num_layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        attention=layers.attention(),
        recurrent=layers.recurrent(),
        vocab_size=fact("vocab_size", header.array_lengths.get("tokenizer.ggml.tokens", 0)),
        intermediate_size=_integer(metadata.get(f"{family}.feed_forward_length")),
        experts=experts,
        num_dense_layers=layers.num_dense_layers() if experts else None,
        num_mtp_layers=layers.num_mtp_layers,
        max_position_embeddings=_integer(metadata.get(f"{family}.context_length")),
        tie_word_embeddings=all(t.name != "output.weight" for t in header.tensors),
        raw={k: v for k, v in metadata.items() if not k.startswith("tokenizer.")},
    )


def _check_counts(where: str, family: str, metadata: dict[str, Any]) -> None:
    """Raise ``StokerError`` where the header counts none of something that every model has.

    Models without attention (Mamba, RWKV) truly have no heads.
    """
    counts = ["block_count", "embedding_length", "context_length"]
    if not any(f"{family}.{name}" in metadata for name in STATES):
        counts += [f"attention.{name}" for name in ("head_count", "head_count_kv", "key_length")]
    for name in counts:
        value = _integer(metadata.get(f"{family}.{name}"))
        if value is not None and value < 1:
            raise StokerError(
                f"{where} is damaged.",
                f"In its header, {family}.{name} is {value}.",
                "Download it again, or use a file that llama.cpp's own converter wrote.",
            )


def _integer(value: object) -> int | None:
    """One number for a field; where it differs from layer to layer, the largest."""
    if isinstance(value, list):
        numbers = [v for v in value if isinstance(v, int)]
        return max(numbers, default=None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
