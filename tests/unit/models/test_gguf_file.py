"""What a GGUF header says, and what is said of a file that is not one."""

from __future__ import annotations

import struct
from dataclasses import replace
from math import prod
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tiny_gguf import DRAFTING, MODELS, TinyModel, write_tiny_gguf

from stoker.data.facts import load_table
from stoker.errors import StokerError
from stoker.models import Experts, gguf_file

VOCABULARY = 3000


def write_gguf(path: Path, family: str = "qwen2", **more: object) -> Path:
    """A small, complete GGUF as llama.cpp's own converter lays it out."""
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(2)
    writer.add_context_length(4096)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_head_count_kv(more.get("head_count_kv", 2))  # type: ignore[arg-type]
    writer.add_file_type(15)
    writer.add_license("apache-2.0")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token-{n}" for n in range(VOCABULARY)])
    writer.add_token_types([1] * VOCABULARY)
    writer.add_chat_template("{% if tools %}{{ tools }}{% endif %}")
    writer.add_tensor("token_embd.weight", np.zeros((VOCABULARY, 64), dtype=np.float16))
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((64, 64), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "Tiny-Q4_K_M.gguf")


def test_facts_are_read_from_the_header(good: Path) -> None:
    model = gguf_file.load(good)
    shape = model.architecture
    assert shape is not None
    assert (shape.family, shape.num_layers, shape.hidden_size) == ("qwen2", 2, 64)
    assert (shape.num_attention_heads, shape.num_kv_heads, shape.head_dim) == (4, 2, 16)
    assert (shape.vocab_size, shape.intermediate_size) == (VOCABULARY, 128)
    assert shape.tie_word_embeddings is True
    assert model.id == "Tiny-Q4_K_M"
    assert model.quantization == "Q4_K_M"
    assert model.parameters == VOCABULARY * 64 + 64 * 64
    assert model.weights_bytes == good.stat().st_size
    assert model.max_context_tokens == 4096
    assert model.license == "apache-2.0"
    assert model.template_has_tools is True


def test_per_layer_facts_give_the_largest(tmp_path: Path) -> None:
    shape = gguf_file.load(write_gguf(tmp_path / "m.gguf", head_count_kv=[0, 2])).architecture
    assert shape is not None
    assert shape.num_kv_heads == 2
    assert [(g.kind, g.num_layers, g.num_kv_heads) for g in shape.attention] == [("full", 1, 2)]


def test_the_reader_agrees_with_the_gguf_package(good: Path) -> None:
    ours, theirs = gguf_file.read_header(good), gguf.GGUFReader(good)
    assert [t.name for t in ours.tensors] == [t.name for t in theirs.tensors]
    assert [t.size_bytes for t in ours.tensors] == [int(t.n_bytes) for t in theirs.tensors]
    assert ours.data_offset == theirs.data_offset
    assert ours.array_lengths["tokenizer.ggml.tokens"] == VOCABULARY


def test_the_tables_of_types_agree_with_the_gguf_package() -> None:
    types = load_table("ggml_types")
    for kind, sizes in GGML_QUANT_SIZES.items():
        assert types["tensor_types"][str(int(kind))] == [GGMLQuantizationType(kind).name, *sizes]
    for file_type in LlamaFileType:
        name = file_type.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        assert types["file_types"].get(str(int(file_type)), "GUESSED") == name


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda b: b"GGML" + b[4:], "does not start with the letters GGUF"),
        (lambda b: b[:4] + struct.pack("<I", 1) + b[8:], "version 1"),
        (lambda b: b[:4] + struct.pack(">I", 3) + b[8:], "big-endian"),
        (lambda b: b[:8] + struct.pack("<Q", 2**60) + b[16:], "tensors"),
        (lambda b: b[:16] + struct.pack("<Q", 2**63) + b[24:], "metadata values"),
        (lambda b: b[:24] + struct.pack("<Q", 2**62) + b[32:], "claims"),
        (lambda b: b[:-1000], "incomplete"),
        (lambda b: b[: len(b) // 20], "incomplete"),
        (lambda b: b[:6], "incomplete"),
        (lambda b: b"", "incomplete"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(
    good: Path, tmp_path: Path, damage: object, expected: str
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(damage(good.read_bytes()))  # type: ignore[operator]
    with pytest.raises(StokerError) as error:
        gguf_file.load(bad)
    assert expected in str(error.value)
    assert str(bad) in error.value.what
    assert error.value.fix


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_gives_a_model_or_one_clear_error(good: Path, data: st.DataObject) -> None:
    content = bytearray(good.read_bytes())
    # The header's fixed fields, its values and its tensor table all lie in these ranges.
    edges = st.one_of(st.integers(0, 700), st.integers(0, len(content) - 1))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(edges)
        junk = data.draw(st.binary(min_size=1, max_size=12))
        content[at : at + len(junk)] = junk
    bad = good.with_name("fuzzed.gguf")
    bad.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        gguf_file.load(bad)
    except StokerError as error:
        assert error.fix


@pytest.mark.parametrize(
    ("family", "pooling"),
    [
        ("bert", 2),  # BGE, MiniLM
        ("nomic-bert", 1),
        ("jina-bert-v2", None),
        ("modern-bert", None),
        ("gemma-embedding", 1),
        ("t5encoder", None),
        ("qwen3", 3),  # Qwen3-Embedding: the family of a chat model
    ],
)
def test_embedding_model_is_refused_with_the_reason(
    tmp_path: Path, family: str, pooling: int | None
) -> None:
    path = tmp_path / "embed.gguf"
    writer = gguf.GGUFWriter(path, family)
    if pooling is not None:
        writer.add_uint32(f"{family}.pooling_type", pooling)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(StokerError, match="makes embeddings and can't chat") as refused:
        gguf_file.load(path)
    assert family in refused.value.why


@pytest.mark.parametrize("kind", ["adapter", "mmproj", "vocab"])
def test_what_is_not_a_language_model_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_type(kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(StokerError, match="not a language model"):
        gguf_file.load(path)


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(StokerError, match="has no tokenizer"):
        gguf_file.load(path)


def split(folder: Path, parts: int) -> list[Path]:
    paths = []
    for number in range(parts):
        path = folder / f"big-{number + 1:05}-of-{parts:05}.gguf"
        writer = gguf.GGUFWriter(path, "qwen2")
        writer.add_uint16("split.count", parts)
        writer.add_uint16("split.no", number)
        writer.add_block_count(2)
        writer.add_embedding_length(64)
        writer.add_head_count(4)
        writer.add_tokenizer_model("gpt2")
        writer.add_tensor(f"blk.{number}.attn_q.weight", np.zeros((64, 64), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        paths.append(path)
    return paths


def test_a_split_model_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    paths = split(tmp_path, 3)
    model = gguf_file.load(paths[0])
    assert model.id == "big"
    assert model.parameters == 3 * 64 * 64
    assert model.weights_bytes == sum(path.stat().st_size for path in paths)


def test_a_split_model_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    paths = split(tmp_path, 3)
    with pytest.raises(StokerError, match="first"):
        gguf_file.load(paths[1])
    paths[2].unlink()
    with pytest.raises(StokerError, match=r"big-00003-of-00003\.gguf is missing"):
        gguf_file.load(paths[0])


ZERO = ("block_count", "embedding_length", "context_length", "attention.head_count")


@pytest.mark.parametrize("name", [*ZERO, "attention.head_count_kv"])
def test_count_of_zero_in_the_header_is_damage(tmp_path: Path, name: str) -> None:
    path = zeroed(write_gguf(tmp_path / "coder.gguf"), name)
    with pytest.raises(StokerError, match="is damaged") as caught:
        gguf_file.load(path)
    assert f"qwen2.{name} is 0" in caught.value.why


def zeroed(path: Path, name: str) -> Path:
    """The file with 0 for a count of its header: key, type (uint32 is 4), value."""
    key = f"qwen2.{name}".encode() + struct.pack("<I", 4)
    at = path.read_bytes().index(key) + len(key)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack("<I", 0))
    return path


@pytest.mark.parametrize("model", DRAFTING, ids=lambda model: model.architecture)
def test_a_head_that_predicts_further_tokens_is_none_of_the_layers(
    model: TinyModel, tmp_path: Path
) -> None:
    found = gguf_file.load(write_tiny_gguf(model, tmp_path))
    assert found.architecture is not None
    assert found.architecture.num_layers == len(model.layers) - 1
    assert found.architecture.num_mtp_layers == 1
    kept = sum(group.num_layers for group in found.architecture.attention)
    states = sum(group.num_layers for group in found.architecture.recurrent)
    assert kept + states == found.architecture.num_layers
    assert found.has_mtp_head
    assert found.mtp_head_bytes == 4 * sum(prod(shape) for shape in model.layers[-1].values())


@pytest.mark.parametrize("count", [0, 5, 2**31])
def test_a_damaged_count_of_such_blocks_leaves_a_layer(tmp_path: Path, count: int) -> None:
    (model,) = (model for model in DRAFTING if model.architecture == "qwen35")
    damaged = replace(model, facts=model.facts | {"nextn_predict_layers": count})
    architecture = gguf_file.load(write_tiny_gguf(damaged, tmp_path)).architecture
    assert architecture is not None
    assert 1 <= architecture.num_layers <= 5


@pytest.mark.parametrize(
    ("family", "routed", "dense", "width"),
    [("gpt-oss", 4, 0, 0), ("qwen3next", 4, 0, 64), ("glm4moe", 2, 1, 64)],
)
def test_the_experts_are_those_of_the_tensors(
    tmp_path: Path, family: str, routed: int, dense: int, width: int
) -> None:
    model = next(m for m in (*MODELS, *DRAFTING) if m.architecture == family)
    architecture = gguf_file.load(write_tiny_gguf(model, tmp_path)).architecture
    assert architecture is not None
    experts = Experts(4, 2, 64, routed, shared_intermediate_size=width)
    assert architecture.experts == experts
    assert architecture.num_dense_layers == dense


def test_a_dense_model_has_no_experts(good: Path) -> None:
    architecture = gguf_file.load(good).architecture
    assert architecture is not None
    assert architecture.experts is None
    assert architecture.num_dense_layers is None
