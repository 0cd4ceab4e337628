"""Models that other programs keep on this machine, laid out as those programs lay them out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.unit.models.test_gguf_file import write_gguf

from stoker import models
from stoker.data.facts import load_table
from stoker.errors import StokerError
from stoker.models import gguf_catalogue
from stoker.models.sources import other_apps


def in_hub_cache(home: Path, repo: str, name: str) -> Path:
    root = home / ".cache" / "huggingface" / "hub" / f"models--{repo.replace('/', '--')}"
    for folder in ("blobs", "refs", "snapshots/abc", "snapshots/old"):
        (root / folder).mkdir(parents=True)
    written = write_gguf(home / "written.gguf")
    blob = root / "blobs" / hashlib.sha256(written.read_bytes()).hexdigest()
    written.rename(blob)
    (root / "refs" / "main").write_text("abc")
    (root / "snapshots" / "abc" / name).symlink_to(blob)
    return root / "snapshots" / "abc" / name


def in_ollama(home: Path, name: str, tag: str) -> Path:
    root = home / ".ollama" / "models"
    manifest = root / "manifests" / "registry.ollama.ai" / "library" / name / tag
    manifest.parent.mkdir(parents=True)
    (root / "blobs").mkdir()
    written = write_gguf(home / "written.gguf")
    digest = hashlib.sha256(written.read_bytes()).hexdigest()
    written.rename(root / "blobs" / f"sha256-{digest}")
    layers = [
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:00"},
        {"mediaType": other_apps.OLLAMA_MODEL_LAYER, "digest": f"sha256:{digest}", "size": 1},
    ]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return root / "blobs" / f"sha256-{digest}"


def test_nothing_on_disk_is_an_empty_list(home: Path) -> None:
    assert other_apps.scan() == []


def test_the_hub_cache_is_read_at_its_current_revision(home: Path) -> None:
    path = in_hub_cache(home, "acme/Tiny-GGUF", "tiny-Q4_K_M.gguf")
    (found,) = other_apps.scan()
    assert (found.id, found.path) == ("acme/Tiny-GGUF:tiny-Q4_K_M.gguf", path)
    assert found.sha256 == path.resolve().name


def test_ollama_is_read_through_its_manifests(home: Path) -> None:
    path = in_ollama(home, "tiny-coder", "1b")
    (found,) = other_apps.scan()
    assert (found.id, found.path, found.program) == ("tiny-coder:1b", path, "Ollama")
    (model,) = models.resolve("tiny-coder:1b", offline=True)
    assert (model.origin, model.path, model.served_name) == ("disk", path, "tiny-coder-1b")


def test_lm_studio_is_read_by_publisher_and_repository(home: Path) -> None:
    folder = home / ".lmstudio" / "models" / "acme" / "Tiny-GGUF"
    folder.mkdir(parents=True)
    write_gguf(folder / "tiny-Q4_K_M.gguf")
    write_gguf(folder / "mmproj-tiny.gguf")
    (found,) = other_apps.scan()
    assert found.id == "acme/Tiny-GGUF:tiny-Q4_K_M.gguf"
    assert found.program == "LM Studio"


@pytest.mark.parametrize("junk", ["", "{", "[]", '{"layers": 5}', '{"layers": [{}]}'])
def test_a_broken_manifest_is_passed_over(home: Path, junk: str) -> None:
    in_ollama(home, "tiny-coder", "1b")
    broken = home / ".ollama/models/manifests/registry.ollama.ai/library/tiny-coder/broken"
    broken.write_text(junk)
    assert [found.id for found in other_apps.scan()] == ["tiny-coder:1b"]


def test_a_damaged_model_is_not_offered_and_explained_when_asked_for(home: Path) -> None:
    in_ollama(home, "tiny-coder", "1b").write_bytes(b"GGUF and no more")
    assert [m.id for m in models.available() if m.origin == "disk"] == []
    with pytest.raises(StokerError, match="not a usable GGUF file"):
        models.resolve("tiny-coder:1b", offline=True)


def test_only_what_is_made_for_code_is_taken_unasked(home: Path) -> None:
    in_ollama(home, "tiny-coder", "1b")
    assert "tiny-coder:1b" in [m.id for m in models.candidates(offline=True)]
    in_hub_cache(home, "acme/Roleplay-GGUF", "roleplay.gguf")
    assert not any("oleplay" in m.id for m in models.candidates(offline=True))
    assert any("oleplay" in m.id for m in models.available())


def test_a_catalogue_model_that_is_on_disk_is_not_downloaded_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = in_ollama(home, "qwen-of-ollama", "7b")
    row = next(r for r in load_table("gguf_models")["model"] if r["id"] == "qwen2.5-coder-7b")
    monkeypatch.setitem(row, "sha256", hashlib.sha256(path.read_bytes()).hexdigest())
    gguf_catalogue.entries.cache_clear()
    try:
        found = models.candidates(hub_reachable=True)
        assert [(m.origin, m.path) for m in found if m.id == "qwen2.5-coder-7b"] == [("disk", path)]
        assert path not in [m.path for m in found if m.id != "qwen2.5-coder-7b"]
    finally:
        gguf_catalogue.entries.cache_clear()


def test_the_file_that_ollama_serves_is_found_by_the_name_that_it_lists(home: Path) -> None:
    path = in_ollama(home, "tiny-coder", "1b")
    assert other_apps.ollama_file("tiny-coder:1b") == path
    assert other_apps.ollama_file("tiny-coder:7b") is None


@pytest.mark.parametrize("served", ["tiny-coder-1b", "acme/tiny-coder-1b", "tiny-coder-1b@q4_k_m"])
def test_the_file_that_lm_studio_serves_is_found_by_its_repository(home: Path, served: str) -> None:
    folder = home / ".lmstudio/models/acme/Tiny-Coder-1B-GGUF"
    folder.mkdir(parents=True)
    path = write_gguf(folder / "Tiny-Coder-1B-Q4_K_M.gguf")
    assert other_apps.lm_studio_file(served) == path
    assert other_apps.lm_studio_file("other") is None
