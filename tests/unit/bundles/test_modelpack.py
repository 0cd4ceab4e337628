"""Models as OCI artifacts in ModelPack's format."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from stoker.bundles import modelpack
from stoker.errors import UsageError

WEIGHT = "application/vnd.cncf.model.weight.v1."
CONFIG = "application/vnd.cncf.model.weight.config.v1."


class Layout:
    """An OCI layout that is filled by a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)

    def blob(self, content: bytes, media_type: str, path: str = "") -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        annotations = {modelpack.FILEPATH: path} if path else {}
        return {
            "mediaType": media_type,
            "digest": f"sha256:{digest}",
            "size": len(content),
            "annotations": annotations,
        }

    def finish(self, *layers: dict[str, Any], kind: str = modelpack.ARTIFACT_TYPE) -> Path:
        config = {"descriptor": {"name": "acme/tiny"}}
        manifest = {
            "artifactType": kind,
            "config": self.blob(
                json.dumps(config).encode(), "application/vnd.cncf.model.config.v1+json"
            ),
            "layers": layers,
        }
        entry = self.blob(
            json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json"
        )
        (self.folder / "index.json").write_text(json.dumps({"manifests": [entry]}))
        return self.folder


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def tar(name: str, content: bytes, kind: bytes = tarfile.REGTYPE, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo(name)
        info.size, info.type = len(content), kind
        info.linkname = "/etc/passwd"
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def in_two_frames(content: bytes) -> bytes:
    """Zstandard as tools that compress in parallel write it."""
    middle = len(content) // 2
    return zstandard.compress(content[:middle]) + zstandard.compress(content[middle:])


def altered_gzip() -> bytes:
    packed = bytearray(tar("a", bytes(range(256)) * 20, mode="w:gz"))
    packed[len(packed) // 2] ^= 0xFF
    return bytes(packed)


def test_raw_and_packed_layers_become_files(layout: Layout, tmp_path: Path) -> None:
    folder = layout.finish(
        layout.blob(b"GGUF weights", WEIGHT + "raw", "tiny.gguf"),
        layout.blob(tar("./config.json", b"{}"), CONFIG + "tar"),
        layout.blob(tar("deep/vocab.json", b"[]", mode="w:gz"), CONFIG + "tar+gzip"),
        layout.blob(in_two_frames(tar("merges.txt", b"a b")), CONFIG + "tar+zstd"),
        layout.blob(b"# Tiny", "application/vnd.cncf.model.doc.v1.raw", "README.md"),
    )
    found = modelpack.read(folder, tmp_path / "work")
    assert found.name == "acme/tiny"
    assert {name: path.read_bytes() for name, path in found.files.items()} == {
        "tiny.gguf": b"GGUF weights",
        "config.json": b"{}",
        "deep/vocab.json": b"[]",
        "merges.txt": b"a b",
    }


def _altered(layout: Layout) -> Path:
    weights = layout.blob(b"GGUF weights", WEIGHT + "raw", "tiny.gguf")
    (layout.folder / "blobs/sha256" / weights["digest"][7:]).write_bytes(b"GGUF Weights")
    return layout.finish(weights)


def _index(layout: Layout, content: bytes) -> Path:
    (layout.folder / "index.json").write_bytes(content)
    return layout.folder


BROKEN: dict[str, tuple[Callable[[Layout], Path], str]] = {
    "an altered layer": (_altered, "does not match its digest"),
    "a container image": (lambda each: each.finish(kind="image"), "of the type"),
    "no weights": (lambda each: each.finish(), "no layers of weights"),
    "a path above": (
        lambda each: each.finish(each.blob(b"x", WEIGHT + "raw", "../evil")),
        "'../evil'",
    ),
    "no path": (lambda each: each.finish(each.blob(b"x", WEIGHT + "raw")), "the path ''"),
    "a packed path above": (
        lambda each: each.finish(each.blob(tar("../evil", b"x"), WEIGHT + "tar")),
        "not a plain file",
    ),
    "a packed link": (
        lambda each: each.finish(each.blob(tar("a", b"", tarfile.SYMTYPE), WEIGHT + "tar")),
        "not a plain file",
    ),
    "a layer that is cut": (
        lambda each: each.finish(each.blob(tar("a", b"x" * 5000)[:2000], WEIGHT + "tar")),
        "can't be unpacked",
    ),
    "Zstandard that is none": (
        lambda each: each.finish(each.blob(b"x" * 600, WEIGHT + "tar+zstd")),
        "can't be unpacked",
    ),
    "gzip with an altered middle": (
        lambda each: each.finish(each.blob(altered_gzip(), WEIGHT + "tar+gzip")),
        "can't be unpacked",
    ),
    "gzip that is none": (
        lambda each: each.finish(each.blob(b"x" * 600, WEIGHT + "tar+gzip")),
        "can't be unpacked",
    ),
    "Zstandard that is cut": (
        lambda each: each.finish(
            each.blob(zstandard.compress(tar("a", b"x" * 5000))[:-20], WEIGHT + "tar+zstd")
        ),
        "can't be unpacked",
    ),
    "an index of numbers": (lambda each: _index(each, b'{"manifests": [1]}'), "not a list"),
    "an index without a list": (lambda each: _index(each, b'{"manifests": null}'), "not a list"),
    "a deep index": (lambda each: _index(each, b"[" * 100_000), "can't be read"),
    "no layout": (lambda each: each.folder, "index.json"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_sound_model_is_refused(what: str, layout: Layout, tmp_path: Path) -> None:
    make, reason = BROKEN[what]
    folder = make(layout)
    with pytest.raises(UsageError) as refused:
        modelpack.read(folder, tmp_path / "work")
    assert reason in refused.value.why
    assert not (tmp_path / "evil").exists()
