"""Real models cut down to their first layer: fast, with nonsense answers and exact tokens.

What a server counts, caches and refuses depends on the tokenizer, the template and the window,
and not on how many layers there are. With one of 30, prompts of 30,000 tokens are read in
seconds on a CPU.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
from pathlib import Path

from gguf import GGUFReader, GGUFValueType, GGUFWriter

#: The longest context window of any test, in tokens.
MAX_MODEL_LEN = 32_768
_LATER_GGUF = re.compile(r"blk\.[1-9]")
_LATER = re.compile(r"model\.layers\.[1-9]")


def one_layer_gguf(source: Path, folder: Path) -> Path:
    """A copy of a GGUF file with one layer and a context of ``MAX_MODEL_LEN``."""
    copy = folder / f"{source.stem}-one-layer.gguf"
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    changed = {
        f"{architecture}.block_count": 1,
        f"{architecture}.context_length": MAX_MODEL_LEN,
    }
    writer = GGUFWriter(copy, architecture)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        value = changed.get(field.name, field.contents())
        inner = field.types[-1] if field.types[0] is GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, field.types[0], inner)
    kept = [t for t in reader.tensors if not _LATER_GGUF.match(t.name)]
    for tensor in kept:
        data = tensor.data
        writer.add_tensor_info(
            tensor.name, data.shape, data.dtype, data.nbytes, raw_dtype=tensor.tensor_type
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in kept:
        writer.write_tensor_data(tensor.data)
    writer.close()
    return copy


def one_layer_folder(source: Path, folder: Path) -> Path:
    """The same for a Hugging Face folder with one safetensors file."""
    copy = folder / f"{source.name}-one-layer"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((copy / "config.json").read_text())
    config |= {"num_hidden_layers": 1, "max_position_embeddings": MAX_MODEL_LEN}
    if "layer_types" in config:  # Qwen2's
        config["layer_types"] = config["layer_types"][:1]
    (copy / "config.json").write_text(json.dumps(config))
    data = (source / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    body, kept = b"", {}
    for name, entry in header.items():
        if name == "__metadata__" or _LATER.match(name):
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        kept[name] = {**entry, "data_offsets": [len(body), len(body) + end - begin]}
        body += data[begin:end]
    head = json.dumps({"__metadata__": {"format": "pt"}, **kept}).encode()
    (copy / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + body)
    return copy
