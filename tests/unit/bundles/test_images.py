"""Names of images, and their files as one stream. The runtime itself is in tests/integration."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from stoker.bundles import images
from stoker.errors import StokerError, UsageError

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("vllm/vllm-openai:v0.26.0", ("vllm/vllm-openai", "v0.26.0", "")),
        ("debian", ("debian", "latest", "")),
        ("registry.site:5000/a/b:1", ("registry.site:5000/a/b", "1", "")),
        ("registry.site:5000/a/b", ("registry.site:5000/a/b", "latest", "")),
        (f"a/b:1@{DIGEST}", ("a/b", "1", DIGEST)),
        (f"a/b@{DIGEST}", ("a/b", "bundled", DIGEST)),
    ],
)
def test_a_reference_has_a_name_a_tag_and_a_digest(
    reference: str, parts: tuple[str, str, str]
) -> None:
    assert images.split(reference) == parts


@pytest.mark.parametrize("reference", ["", "A/B", "a b", "a@sha256:12", "-x", "a:"])
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(UsageError):
        images.split(reference)


def saved(*members: tuple[str, bytes, bytes]) -> list[bytes]:
    """What a runtime sends, in pieces of 700 bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "elsewhere"
            archive.addfile(info, io.BytesIO(content))
    whole = out.getvalue()
    return [whole[at : at + 700] for at in range(0, len(whole), 700)]


def test_an_image_is_taken_apart_and_put_together_again(tmp_path: Path) -> None:
    layer = bytes(range(256)) * 40
    stream = saved(
        ("blobs", b"", tarfile.DIRTYPE),
        ("blobs/sha256/ab", layer, tarfile.REGTYPE),
        ("index.json", b"{}", tarfile.REGTYPE),
    )
    names = images.unpacked(stream, tmp_path, lambda _: None)
    assert names == ["blobs/sha256/ab", "index.json"]
    joined = b"".join(images.as_tar([(name, tmp_path / name) for name in names]))
    with tarfile.open(fileobj=io.BytesIO(joined)) as archive:
        taken = archive.extractfile("blobs/sha256/ab")
        assert taken is not None
        assert taken.read() == layer
        assert archive.getnames() == names


@pytest.mark.parametrize(
    ("name", "kind"),
    [("../evil", tarfile.REGTYPE), ("/evil", tarfile.REGTYPE), ("layer.tar", tarfile.SYMTYPE)],
)
def test_nothing_is_written_outside_and_no_link(name: str, kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(StokerError):
        images.unpacked(saved((name, b"", kind)), tmp_path / "image", lambda _: None)
    assert list(tmp_path.rglob("*")) == []
