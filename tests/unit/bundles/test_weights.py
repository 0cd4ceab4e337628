"""Which files are a model's, and where the target keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.models.test_hub import CONFIG, safetensors

from stoker import paths
from stoker.bundles import weights
from stoker.errors import StokerError
from stoker.models import DownloadProgress

REVISION = "0123abcd"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def shown(_progress: DownloadProgress) -> None:
    raise AssertionError("nothing is to be downloaded")


def collected(name: str | Path, folder: Path) -> weights.Weights:
    return weights.collect(str(name), folder / "work", shown)


def fill(folder: Path) -> Path:
    """A Hugging Face folder with two shards."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    for name, tensor in zip(SHARDS, ("embed", "q"), strict=True):
        (folder / name).write_bytes(safetensors({tensor: [64, 64]}))
    index = {"metadata": {}, "weight_map": dict(zip(("embed", "q"), SHARDS, strict=True))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


NAMES = {"config.json", "tokenizer.json", "model.safetensors.index.json", *SHARDS}


@pytest.fixture
def snapshot(home: Path) -> Path:
    """A snapshot in the cache of Hugging Face tools, whose files are links to blobs."""
    repo = home / ".cache/huggingface/hub/models--acme--tiny"
    real = fill(repo / "blobs")
    links = repo / "snapshots" / REVISION
    links.mkdir(parents=True)
    for file in real.iterdir():
        (links / file.name).symlink_to(file)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(REVISION)
    return links


def test_a_snapshot_of_the_hub_goes_where_stoker_downloads_to(snapshot: Path, home: Path) -> None:
    found = collected("acme/tiny", home)
    assert found.folder == f"hub/acme--tiny/{REVISION}"
    assert set(found.files) == NAMES


def test_a_snapshot_that_lacks_a_shard_is_refused(snapshot: Path, home: Path) -> None:
    (snapshot / SHARDS[1]).unlink()
    with pytest.raises(StokerError, match=r".+"):
        collected("acme/tiny", home)


def test_what_stoker_downloaded_keeps_its_place(home: Path) -> None:
    folder = fill(paths.cache_dir() / "models/hub/acme--tiny/main")
    (folder / "model.safetensors.lock").touch()
    (folder / ".cache").mkdir()
    (folder / ".cache/notes").touch()
    found = collected(folder, home)
    assert found.folder == "hub/acme--tiny/main"
    assert set(found.files) == NAMES


def test_a_folder_from_elsewhere_gets_a_folder_of_its_name(home: Path) -> None:
    found = collected(fill(home / "My Model"), home)
    assert found.folder == "bundled/my-model"
    assert found.model_name == ""
    assert found.name == "My Model"  # and no folder of the machine that made the bundle


def test_a_model_that_is_not_there_is_refused(home: Path) -> None:
    with pytest.raises(StokerError, match="There is no file or folder"):
        collected("./nowhere", home)
