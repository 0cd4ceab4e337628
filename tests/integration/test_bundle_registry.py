"""ModelPack artifacts out of a real OCI registry."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from tests.support import oci_registry
from tests.support.oci_registry import OciRegistry

from stoker.bundles import modelpack, weights
from stoker.errors import StokerError, UsageError

pytestmark = pytest.mark.databases

NAME = "models/tiny"
WEIGHTS = bytes(range(256)) * 8192  # 2 MB: several pieces of a download
WEIGHT = "application/vnd.cncf.model.weight.v1."


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OciRegistry]:
    with oci_registry.running(tmp_path_factory.mktemp("registry")) as running:
        yield running


def pushed(registry: OciRegistry, kind: str = modelpack.ARTIFACT_TYPE) -> str:
    """An artifact with raw weights, a packed configuration and a document; its digest."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("config.json")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"{}"))
    layers = [
        (WEIGHTS, WEIGHT + "raw", "tiny.gguf"),
        (
            zstandard.compress(packed.getvalue()),
            "application/vnd.cncf.model.weight.config.v1.tar+zstd",
            "",
        ),
        (b"# Tiny", "application/vnd.cncf.model.doc.v1.raw", "README.md"),
    ]
    described = [
        {
            **registry.push_blob(NAME, content),
            "mediaType": media_type,
            "annotations": {modelpack.FILEPATH: path} if path else {},
        }
        for content, media_type, path in layers
    ]
    config = registry.push_blob(NAME, json.dumps({"descriptor": {"name": "acme/tiny"}}).encode())
    config["mediaType"] = "application/vnd.cncf.model.config.v1+json"
    manifest = {"artifactType": kind, "config": config, "layers": described}
    return registry.push_manifest(NAME, "1.0", manifest)


def collected(name: str, work: Path) -> weights.Weights:
    return weights.collect(name, work, lambda _: None)


@pytest.mark.parametrize("by_digest", [False, True])
def test_model_comes_from_a_registry(
    registry: OciRegistry, tmp_path: Path, by_digest: bool
) -> None:
    digest = pushed(registry)
    named = f"oci://{registry.address}/{NAME}" + (f"@{digest}" if by_digest else ":1.0")
    found = collected(named, tmp_path)
    assert (found.name, found.folder) == ("acme/tiny", "bundled/acme-tiny")
    contents = {path: file.read_bytes() for path, file in found.files.items()}
    assert contents == {"tiny.gguf": WEIGHTS, "config.json": b"{}"}
    # The document is of no use to a server: it was not fetched.
    stored = [file.read_bytes() for file in tmp_path.glob("*/blobs/sha256/*")]
    assert b"# Tiny" not in stored


def blob_of_weights(work: Path) -> Path:
    sizes = {file: file.stat().st_size for file in work.glob("*/blobs/sha256/*")}
    return max(sizes, key=lambda file: sizes[file])


@pytest.mark.parametrize("left", [b"", WEIGHTS[:1_500_000], WEIGHTS])
def test_download_that_was_broken_off_is_continued(
    registry: OciRegistry, tmp_path: Path, left: bytes
) -> None:
    pushed(registry)
    named = f"oci://{registry.address}/{NAME}:1.0"
    collected(named, tmp_path)
    blob = blob_of_weights(tmp_path)
    blob.rename(blob.with_name(f"{blob.name}.partial")).write_bytes(left)
    before = registry.log.read_text().count("206")
    found = collected(named, tmp_path)
    assert found.files["tiny.gguf"].read_bytes() == WEIGHTS
    assert not list(tmp_path.glob("*/blobs/sha256/*.partial"))
    if 0 < len(left) < len(WEIGHTS):
        assert registry.log.read_text().count("206") > before


def test_beginning_of_another_blob_is_thrown_away(registry: OciRegistry, tmp_path: Path) -> None:
    pushed(registry)
    named = f"oci://{registry.address}/{NAME}:1.0"
    collected(named, tmp_path)
    blob = blob_of_weights(tmp_path)
    blob.rename(blob.with_name(f"{blob.name}.partial")).write_bytes(b"another" * 1000)
    with pytest.raises(StokerError) as refused:
        collected(named, tmp_path)
    assert "does not match its digest" in refused.value.why
    assert collected(named, tmp_path).files["tiny.gguf"].read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("models/absent:1.0", "404"),
        ("models/tiny:2.0", "404"),
        (f"models/tiny@sha256:{'0' * 64}", "404"),
    ],
)
def test_artifact_that_is_not_there_is_named(
    registry: OciRegistry, tmp_path: Path, name: str, reason: str
) -> None:
    pushed(registry)
    with pytest.raises(StokerError) as refused:
        collected(f"oci://{registry.address}/{name}", tmp_path)
    assert name in refused.value.what
    assert reason in refused.value.why


def test_container_image_is_no_model(registry: OciRegistry, tmp_path: Path) -> None:
    pushed(registry, kind="application/vnd.oci.image.config.v1+json")
    with pytest.raises(UsageError) as refused:
        collected(f"oci://{registry.address}/{NAME}:1.0", tmp_path)
    assert "not of the type" in refused.value.why


def test_private_registry_gets_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its challenge names a realm that looks like a host; the password goes to the registry."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with oci_registry.running(tmp_path, private=True) as private:
        pushed(private)
        named = f"oci://{private.address}/{NAME}:1.0"
        with pytest.raises(StokerError, match="can't be fetched") as refused:
            collected(named, tmp_path / "without")
        assert "401" in refused.value.why
        login = base64.b64encode(":".join(oci_registry.LOGIN).encode()).decode()
        docker = tmp_path / ".docker/config.json"
        docker.parent.mkdir()
        docker.write_text(json.dumps({"auths": {private.address: {"auth": login}}}))
        found = collected(named, tmp_path / "with")
        assert found.files["tiny.gguf"].read_bytes() == WEIGHTS
