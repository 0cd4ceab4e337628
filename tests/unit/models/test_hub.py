"""Models from a hub: described before, resumed during and verified after their download."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.generators import drained, returned
from tests.unit.models import hub_server
from tests.unit.models.test_gguf_file import split, write_gguf

from stoker import models
from stoker.errors import StokerError
from stoker.models import DownloadProgress, Model

REPO = "acme/Tiny-Coder-GGUF"


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    with hub_server.running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


@pytest.fixture
def gguf_bytes(tmp_path: Path) -> bytes:
    return write_gguf(tmp_path / "source.gguf").read_bytes()


def stored(tmp_path: Path) -> list[str]:
    folder = tmp_path / "home/stoker/cache/models"
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_a_model_is_described_before_it_is_downloaded(
    hub: hub_server.Hub, gguf_bytes: bytes
) -> None:
    hub.files[REPO] = {"tiny-Q8_0.gguf": gguf_bytes, "tiny-Q4_K_M.gguf": gguf_bytes}
    (model,) = models.resolve(REPO)
    assert model.path is None
    assert model.id == f"{REPO}:tiny-Q4_K_M.gguf"
    assert model.weights_bytes == len(gguf_bytes)
    assert model.architecture is not None
    assert model.architecture.num_layers == 2
    assert model.template_has_tools is True


def test_a_model_is_downloaded_once_with_its_progress(
    hub: hub_server.Hub, gguf_bytes: bytes
) -> None:
    hub.files[REPO] = {"tiny-Q4_K_M.gguf": gguf_bytes}
    seen, model = drained(models.fetch(models.resolve(REPO)[0]))
    assert model.path is not None
    assert model.path.read_bytes() == gguf_bytes
    assert seen[-1] == DownloadProgress(len(gguf_bytes), len(gguf_bytes), "hub")
    sent = hub.bytes_sent
    again = returned(models.fetch(models.resolve(f"{REPO}:Q4_K_M")[0]))
    assert again.path == model.path
    # The second time only the listing and the header were asked for.
    assert hub.bytes_sent - sent <= len(gguf_bytes) + 2000


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("Q8_0", "tiny-Q8_0.gguf"),
        ("q8_0", "tiny-Q8_0.gguf"),
        ("tiny-IQ3_M.gguf", "tiny-IQ3_M.gguf"),
        ("Q3_K_M", "Q3_K_M/tiny-Q3_K_M.gguf"),
    ],
)
def test_a_quantization_or_a_file_chooses(
    hub: hub_server.Hub, gguf_bytes: bytes, selector: str, chosen: str
) -> None:
    names = ["tiny-Q8_0.gguf", "tiny-IQ3_M.gguf", "tiny-Q4_K_M.gguf", "Q3_K_M/tiny-Q3_K_M.gguf"]
    hub.files[REPO] = dict.fromkeys([*names, "mmproj-Q8_0.gguf"], gguf_bytes)
    assert models.resolve(f"{REPO}:{selector}")[0].id == f"{REPO}:{chosen}"


def test_an_unknown_quantization_lists_what_there_is(
    hub: hub_server.Hub, gguf_bytes: bytes
) -> None:
    hub.files[REPO] = {"tiny-Q8_0.gguf": gguf_bytes}
    with pytest.raises(StokerError, match=r"no GGUF file for 'Q2_K'.*tiny-Q8_0\.gguf"):
        models.resolve(f"{REPO}:Q2_K")


def test_a_split_model_comes_with_all_of_its_parts(hub: hub_server.Hub, tmp_path: Path) -> None:
    parts = split(tmp_path, 3)
    hub.files[REPO] = {f"Q4_K_M/{p.name}": p.read_bytes() for p in parts}
    (described,) = models.resolve(f"{REPO}:Q4_K_M")
    assert described.weights_bytes == sum(p.stat().st_size for p in parts)
    model = returned(models.fetch(described))
    assert model.path is not None
    assert model.path.name == parts[0].name
    assert model.weights_bytes == described.weights_bytes


def test_a_split_model_of_which_the_hub_lacks_a_part_is_refused_before_the_download(
    hub: hub_server.Hub, tmp_path: Path
) -> None:
    parts = split(tmp_path, 3)
    hub.files[REPO] = {f"Q4_K_M/{p.name}": p.read_bytes() for p in parts[::2]}
    with pytest.raises(StokerError, match=r"lists 2 of its 3 files; Q4_K_M/big-00002-of-00003"):
        models.resolve(f"{REPO}:Q4_K_M")


def test_a_folder_for_a_quantization_counts_as_downloaded_without_its_projector(
    hub: hub_server.Hub, gguf_bytes: bytes
) -> None:
    form = form_of("qwen2.5-coder-32b", "Q4_K_M")
    names = ["Q4_K_M/big.gguf", "Q4_K_M/mmproj-big.gguf"]
    hub.files[form.id] = dict.fromkeys(names, gguf_bytes)
    path = returned(models.fetch(form)).path
    assert path is not None
    assert form_of("qwen2.5-coder-32b", "Q4_K_M").path == path


def safetensors(shapes: dict[str, list[int]]) -> bytes:
    header: dict[str, Any] = {}
    at = 0
    for name, (rows, columns) in shapes.items():
        size = rows * columns * 2
        header[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(at)


CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_hidden_layers": 2,
    "vocab_size": 100,
    "intermediate_size": 128,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}


def test_a_folder_of_safetensors_is_described_and_downloaded(hub: hub_server.Hub) -> None:
    weights = safetensors({"model.embed_tokens.weight": [100, 64]})
    hub.files["acme/Tiny"] = {
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer.json": b"{}",
        "tokenizer_config.json": b'{"chat_template": "{{ tools }}"}',
        "model.safetensors": weights,
        "original/consolidated.00.pth": b"not this",
        "README.md": b"nor this",
    }
    (described,) = models.resolve("acme/Tiny")
    assert (described.format, described.weights_bytes) == ("safetensors", len(weights))
    assert described.architecture is not None
    assert described.architecture.num_kv_heads == 2
    model = returned(models.fetch(described))
    assert model.path is not None
    assert sorted(p.name for p in model.path.iterdir() if p.suffix != ".lock") == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert model.parameters == 6400
    assert model.template_has_tools is True


def form_of(name: str, form: str) -> Model:
    """A form of a model as the catalogue names it: by repository and quantization."""
    return next(m for m in models.named(name, here=True) if m.quantization == form and not m.hub)


def test_a_form_of_the_catalogue_is_found_at_the_hub_and_afterwards_on_this_disk(
    hub: hub_server.Hub, gguf_bytes: bytes
) -> None:
    form = form_of("qwen2.5-coder-32b", "Q4_K_M")
    hub.files[form.id] = {"big-Q8_0.gguf": b"", "big-q4_k_m.gguf": gguf_bytes}
    fetched = returned(models.fetch(form))
    assert fetched.path is not None
    assert fetched.path.name == "big-q4_k_m.gguf"
    assert (fetched.id, fetched.served_name) == (form.id, form.served_name)
    assert form_of("qwen2.5-coder-32b", "Q4_K_M").path == fetched.path


def test_a_folder_of_the_catalogue_is_found_again_once_it_is_whole(hub: hub_server.Hub) -> None:
    form = form_of("qwen2.5-coder-7b", "awq")
    hub.files[form.id] = {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": safetensors({"model.embed_tokens.weight": [100, 64]}),
        "tokenizer.json": b"{}",
    }
    folder = returned(models.fetch(form)).path
    assert folder is not None
    assert form_of("qwen2.5-coder-7b", "awq").path == folder
    (folder / "tokenizer.json").unlink()
    assert form_of("qwen2.5-coder-7b", "awq").path is None


def test_a_file_in_parts_counts_as_downloaded_only_with_all_of_them(
    hub: hub_server.Hub, tmp_path: Path
) -> None:
    form = form_of("qwen2.5-coder-32b", "Q4_K_M")
    names = [f"big-Q4_K_M-0000{number}-of-00002.gguf" for number in (1, 2)]
    parts = (path.read_bytes() for path in split(tmp_path, 2))
    hub.files[form.id] = dict(zip(names, parts, strict=True))
    path = returned(models.fetch(form)).path
    assert path is not None
    assert form_of("qwen2.5-coder-32b", "Q4_K_M").path == path
    path.with_name(names[1]).unlink()
    assert form_of("qwen2.5-coder-32b", "Q4_K_M").path is None


def test_a_form_that_the_hub_no_longer_has_is_refused(
    hub: hub_server.Hub, gguf_bytes: bytes
) -> None:
    form = form_of("qwen2.5-coder-32b", "Q4_K_M")
    hub.files[form.id] = {"big-Q8_0.gguf": gguf_bytes}
    with pytest.raises(StokerError, match="no GGUF file for 'Q4_K_M'"):
        returned(models.fetch(form))


DOWNLOAD = """
import sys
from stoker import models
for progress in models.fetch(models.resolve(sys.argv[1])[0]):
    print(progress.bytes_done, flush=True)
"""


def test_a_download_that_was_killed_continues_where_it_stopped(
    hub: hub_server.Hub, tmp_path: Path
) -> None:
    # Past what is read to describe it, and slow enough to be killed in the middle.
    content = write_gguf(tmp_path / "big.gguf").read_bytes() + bytes(40 << 20)
    hub.files[REPO] = {"tiny-Q4_K_M.gguf": content}
    hub.delay_s = 0.002
    child = subprocess.Popen([sys.executable, "-c", DOWNLOAD, REPO], stdout=subprocess.PIPE)
    assert child.stdout is not None
    while int(child.stdout.readline()) < 10_000_000:
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert stored(tmp_path) == ["tiny-Q4_K_M.gguf.partial"]
    hub.delay_s = 0.0
    hub.ranges.clear()
    model = returned(models.fetch(models.resolve(REPO)[0]))
    assert model.path is not None
    assert model.path.read_bytes() == content
    (resumed,) = [r for r in hub.ranges if r is not None]
    assert int(resumed.removeprefix("bytes=").split("-")[0]) >= 10_000_000
    assert stored(tmp_path) == ["tiny-Q4_K_M.gguf"]


def test_a_download_whose_iterator_was_closed_continues_where_it_stopped(
    hub: hub_server.Hub, tmp_path: Path
) -> None:
    content = write_gguf(tmp_path / "big.gguf").read_bytes() + bytes(40 << 20)
    hub.files[REPO] = {"tiny-Q4_K_M.gguf": content}
    (model,) = models.resolve(REPO)
    hub.delay_s = 0.002
    progress = models.fetch(model)
    while next(progress).bytes_done < 10_000_000:
        pass
    progress.close()
    hub.delay_s = 0.0
    hub.ranges.clear()
    whole = returned(models.fetch(model))
    assert whole.path is not None
    assert whole.path.read_bytes() == content
    (resumed,) = [r for r in hub.ranges if r is not None]
    assert int(resumed.removeprefix("bytes=").split("-")[0]) >= 10_000_000


def test_a_file_that_differs_from_its_checksum_is_removed(
    hub: hub_server.Hub, gguf_bytes: bytes, tmp_path: Path
) -> None:
    hub.files[REPO] = {"tiny-Q4_K_M.gguf": gguf_bytes}
    hub.claims["tiny-Q4_K_M.gguf"] = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(StokerError, match="is damaged"):
        returned(models.fetch(models.resolve(REPO)[0]))
    assert stored(tmp_path) == []


def test_a_gated_model_names_where_to_accept_and_opens_with_the_token(
    hub: hub_server.Hub, gguf_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files[REPO] = {"tiny-Q4_K_M.gguf": gguf_bytes}
    hub.gated.add(REPO)
    with pytest.raises(StokerError) as error:
        models.resolve(REPO)
    assert "gated" in error.value.what
    assert "HF_TOKEN" in error.value.fix
    assert f"huggingface.co/{REPO}" in error.value.fix
    monkeypatch.setenv("HF_TOKEN", "good")
    assert returned(models.fetch(models.resolve(REPO)[0])).path is not None


def test_a_wrong_id_is_reported_with_the_nearest_one(hub: hub_server.Hub) -> None:
    with pytest.raises(StokerError, match="There is no model") as error:
        models.resolve("Qwen/Qwen2.5-Coder-7B-Instruct-GUFF")
    assert error.value.fix.startswith("Did you mean Qwen/Qwen2.5-Coder-7B-Instruct-GGUF")


def test_no_network_is_reported_quickly(
    hub: hub_server.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(StokerError, match="could not be downloaded from the hub"):
        models.resolve(REPO)
    assert time.monotonic() - start < 10


def test_hf_hub_offline_is_obeyed(hub: hub_server.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(StokerError, match="HF_HUB_OFFLINE"):
        models.resolve(REPO)
    assert hub.bytes_sent == 0
    assert all(m.origin != "hub" for m in models.candidates(hub_reachable=True))


def test_too_little_disk_space_is_found_before_the_download(
    hub: hub_server.Hub, gguf_bytes: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.files[REPO] = {"tiny-Q4_K_M.gguf": gguf_bytes}
    (model,) = models.resolve(REPO)
    usage = type(shutil.disk_usage(os.sep))(10**12, 10**12, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StokerError, match="not enough disk space") as error:
        returned(models.fetch(model))
    assert "STOKER_HOME" in error.value.fix
    assert stored(tmp_path) == []


def test_a_hub_cannot_write_outside_of_the_models_folder(
    hub: hub_server.Hub, gguf_bytes: bytes
) -> None:
    hub.files[REPO] = {"../../../evil-Q4_K_M.gguf": gguf_bytes}
    with pytest.raises(StokerError, match="no files that an engine can serve"):
        models.resolve(REPO)


def test_a_known_models_short_name_offers_its_plain_and_its_gguf_weights(
    hub: hub_server.Hub, gguf_bytes: bytes
) -> None:
    known, _ = models.find_known_model("qwen2.5-coder-32b")
    (gguf,) = (variant for variant in known.variants if variant.format == "gguf")
    hub.files[gguf.id] = {"big-Q4_K_M.gguf": gguf_bytes}
    assert [m.id for m in models.resolve("qwen2.5-coder-32b")] == [f"{gguf.id}:big-Q4_K_M.gguf"]
    hub.files[known.id] = {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": safetensors({"embed": [100, 64]}),
    }
    assert [m.format for m in models.resolve("qwen2.5-coder-32b")] == ["safetensors", "gguf"]
