"""A bundle that was changed in any way is refused, and nothing is written."""

from __future__ import annotations

import gzip
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import small_bundles
from tests.support.small_bundles import FILES, KEY, OTHER_KEY, changed, changed_item, digest, silent

from stoker import bundles
from stoker.bundles import bundle_archive, minisign_keys
from stoker.bundles.bundle_archive import BLOCK_BYTES, Archive, header, member, member_bytes
from stoker.bundles.bundle_manifest import Blob, Item, ItemFile
from stoker.errors import StokerError


@dataclass(frozen=True)
class Sound:
    """A bundle as bytes, with the places of its parts."""

    content: bytes
    archive: Archive

    def at(self, blob: int) -> int:
        """Where the header of a blob begins."""
        before = self.archive.manifest.blobs[:blob]
        return self.archive.blobs_at + sum(member_bytes(each.size_bytes) for each in before)

    def blob(self, number: int) -> bytes:
        """A whole member."""
        size = member_bytes(self.archive.manifest.blobs[number].size_bytes)
        return self.content[self.at(number) : self.at(number) + size]

    @property
    def signature_at(self) -> int:
        """Where the header of the signature begins."""
        info = tarfile.TarInfo.frombuf(self.content[:BLOCK_BYTES], "ascii", "strict")
        return member_bytes(info.size)


def _sound(folder: Path) -> Sound:
    path = small_bundles.write(folder / "sound.stoker")
    return Sound(path.read_bytes(), bundle_archive.open_archive(path, KEY.public))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return _sound(tmp_path_factory.mktemp("sound"))


def flipped(content: bytes, at: int, bit: int = 0) -> bytes:
    """The same with one bit changed."""
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]


def put(content: bytes, at: int, new: bytes) -> bytes:
    """The same with other bytes from ``at`` on."""
    return content[:at] + new + content[at + len(new) :]


def with_header(sound: Sound, **fields: object) -> bytes:
    """The bundle with a correct tar header of other fields before its second blob."""
    name = bundle_archive.blob_name(sound.archive.manifest.blobs[1])
    info = tarfile.TarInfo(name)
    info.size, info.mode = sound.archive.manifest.blobs[1].size_bytes, 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return put(sound.content, sound.at(1), info.tobuf(tarfile.GNU_FORMAT)[:BLOCK_BYTES])


def inserted(sound: Sound, new: bytes) -> bytes:
    """The bundle with more bytes before its second blob."""
    return sound.content[: sound.at(1)] + new + sound.content[sound.at(1) :]


def _pax(sound: Sound) -> bytes:
    info = tarfile.TarInfo("x")
    info.pax_headers = {"path": "../../evil"}
    return inserted(sound, info.tobuf(tarfile.PAX_FORMAT))


def _long_name(sound: Sound) -> bytes:
    return inserted(sound, tarfile.TarInfo("../" * 60 + "evil").tobuf(tarfile.GNU_FORMAT))


def _without_signature(sound: Sound) -> bytes:
    size = member_bytes(_signature_bytes(sound))
    return sound.content[: sound.signature_at] + sound.content[sound.signature_at + size :]


def _signature_bytes(sound: Sound) -> int:
    block = sound.content[sound.signature_at : sound.signature_at + BLOCK_BYTES]
    return tarfile.TarInfo.frombuf(block, "ascii", "strict").size


def _foreign_signature(sound: Sound) -> bytes:
    """The maker's own signature, of something else."""
    other = minisign_keys.signature(b"another manifest", KEY, "stoker bundle 0.1.0")
    start = sound.signature_at
    size = member_bytes(_signature_bytes(sound))
    signature = member(bundle_archive.SIGNATURE, other)
    return sound.content[:start] + signature + sound.content[start + size :]


def _resigned(sound: Sound) -> bytes:
    """A changed manifest, signed by another."""
    start, content = sound.signature_at, sound.content
    size = tarfile.TarInfo.frombuf(content[:BLOCK_BYTES], "ascii", "strict").size
    manifest = content[BLOCK_BYTES : BLOCK_BYTES + size].replace(b"acme", b"evil")
    signature = minisign_keys.signature(manifest, OTHER_KEY, "stoker bundle 0.1.0")
    rest = content[start + member_bytes(_signature_bytes(sound)) :]
    return (
        member(bundle_archive.MANIFEST, manifest)
        + member(bundle_archive.SIGNATURE, signature)
        + rest
    )


def _swapped(sound: Sound) -> bytes:
    first, second = sound.blob(0), sound.blob(1)
    rest = sound.content[sound.at(2) :]
    return sound.content[: sound.at(0)] + second + first + rest


def _huge_manifest(sound: Sound) -> bytes:
    return put(sound.content, 0, header(bundle_archive.MANIFEST, 1 << 50))


#: The size field of a tar header in base 256: minus one.
_NEGATIVE = b"\xff" * 12
_TYPES = {
    "a symbolic link": tarfile.SYMTYPE,
    "a hard link": tarfile.LNKTYPE,
    "a character device": tarfile.CHRTYPE,
    "a block device": tarfile.BLKTYPE,
    "a folder": tarfile.DIRTYPE,
    "a pipe": tarfile.FIFOTYPE,
    "a sparse file": tarfile.GNUTYPE_SPARSE,
    "a file of an unknown type": b"Z",
}
_NAMES = {
    "an absolute name": "/etc/cron.d/evil",
    "a name above its folder": "blobs/sha256/../../../evil",
    "the name of another blob": f"blobs/sha256/{'0' * 64}",
    "the manifest's name": bundle_archive.MANIFEST,
    "an empty name": "",
}

ALTERATIONS: dict[str, Callable[[Sound], bytes]] = {
    "a bit of the manifest": lambda s: flipped(s.content, BLOCK_BYTES + 100),
    "a bit of the manifest's header": lambda s: flipped(s.content, 3),
    "a bit of the manifest's owner": lambda s: flipped(s.content, 110),
    "a bit of the signature's header": lambda s: flipped(s.content, s.signature_at + 3),
    "a bit of the untrusted comment": lambda s: flipped(s.content, s.signature_at + 512 + 25),
    "a bit of the signature": lambda s: flipped(s.content, s.signature_at + 512 + 80),
    "a bit of the bootstrap": lambda s: flipped(s.content, s.archive.blobs_at - 512 + 2),
    "a bit of a blob": lambda s: flipped(s.content, s.at(1) + BLOCK_BYTES + 700, 7),
    "a bit of a blob's name": lambda s: flipped(s.content, s.at(1) + 20),
    "a bit of a blob's padding": lambda s: flipped(s.content, s.at(2) - 1),
    "a bit of the end": lambda s: flipped(s.content, len(s.content) - 600),
    "another mode": lambda s: with_header(s, mode=0o4755),
    "another time": lambda s: with_header(s, mtime=1),
    "another owner": lambda s: with_header(s, uid=1000),
    "a huge size": lambda s: with_header(s, size=1 << 60),
    "another size": lambda s: with_header(s, size=10),
    "a negative size": lambda s: put(s.content, s.at(1) + 124, _NEGATIVE),
    "a manifest of a petabyte": _huge_manifest,
    "a manifest of a negative size": lambda s: put(s.content, 124, _NEGATIVE),
    "a pax header": _pax,
    "a long name": _long_name,
    "cut in half": lambda s: s.content[: len(s.content) // 2],
    "cut by one byte": lambda s: s.content[:-1],
    "cut after the manifest": lambda s: s.content[: s.signature_at],
    "cut in the manifest": lambda s: s.content[:700],
    "cut in the first header": lambda s: s.content[:100],
    "without its end": lambda s: s.content[:-1024],
    "empty": lambda s: b"",
    "no archive": lambda s: b"PK\x03\x04" + s.content[4:],
    "compressed": lambda s: gzip.compress(s.content),
    "bytes after its end": lambda s: s.content + b"\0",
    "a member after its end": lambda s: s.content[:-1024] + member("evil", b"x") + bytes(1024),
    "a member of its own": lambda s: inserted(s, member("evil", b"x")),
    "two blobs swapped": _swapped,
    "a blob twice": lambda s: inserted(s, s.blob(0)),
    "a blob missing": lambda s: s.content[: s.at(1)] + s.content[s.at(2) :],
    "a blob of the same size": lambda s: put(s.content, s.at(1) + BLOCK_BYTES, b"evil" * 100),
    "zeros for a blob": lambda s: put(s.content, s.at(1) + BLOCK_BYTES, bytes(1000)),
    "its signature missing": _without_signature,
    "the signature of another bundle": _foreign_signature,
    "signed by another": _resigned,
    **{
        f"{title} for a blob": lambda s, kind=kind: with_header(s, type=kind, linkname="/etc")  # type: ignore[misc]
        for title, kind in _TYPES.items()
    },
    **{
        f"{title} for a blob": lambda s, name=name: with_header(s, name=name)  # type: ignore[misc]
        for title, name in _NAMES.items()
    },
}


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below, with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def load(path: Path, into: Path) -> None:
    archive = bundle_archive.open_archive(path, KEY.public)
    bundles.load(archive, into, Path(sys.executable), small_bundles.quiet, editors=False)


def test_there_are_more_than_forty_alterations() -> None:
    assert len(ALTERATIONS) >= 40


@pytest.mark.parametrize("what", ALTERATIONS)
def test_an_altered_bundle_is_refused_before_anything_is_written(
    what: str, sound: Sound, home: Path, tmp_path: Path
) -> None:
    altered = ALTERATIONS[what](sound)
    assert altered != sound.content
    path = tmp_path / "altered.stoker"
    path.write_bytes(altered)
    before = tree(tmp_path)
    with pytest.raises(StokerError) as refused:
        load(path, tmp_path / "into")
    assert refused.value.what
    assert refused.value.fix
    assert tree(tmp_path) == before


def test_a_sound_bundle_passes(sound: Sound, tmp_path: Path) -> None:
    path = tmp_path / "sound.stoker"
    path.write_bytes(sound.content)
    seen: list[int] = []
    bundle_archive.open_archive(path, KEY.public).verify(lambda done, _total: seen.append(done))
    assert seen[-1] == sound.archive.manifest.blobs_bytes


@given(data=st.data())
def test_no_bit_can_be_changed(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bits")
    sound = _sound(folder)
    at = data.draw(st.integers(0, len(sound.content) - 1))
    path = folder / "flipped.stoker"
    path.write_bytes(flipped(sound.content, at, data.draw(st.integers(0, 7))))
    with pytest.raises(StokerError):
        bundle_archive.open_archive(path, KEY.public).verify(silent)


MESSAGES = {
    "cut by one byte": "The bundle is cut short.",
    "cut in half": "The bundle is cut short.",
    "cut in the manifest": "The bundle is cut short.",
    "a bit of a blob": "The bundle was altered or damaged.",
    "a bit of the manifest": "The signature of the bundle is wrong.",
    "its signature missing": "The bundle is not signed.",
    "signed by another": "The bundle was signed with another key.",
    "the signature of another bundle": "The signature of the bundle is wrong.",
    "no archive": "This is not a bundle.",
    "bytes after its end": "The bundle was altered or damaged.",
}


@pytest.mark.parametrize(("what", "message"), MESSAGES.items())
def test_each_kind_of_damage_has_its_message(
    what: str, message: str, sound: Sound, tmp_path: Path
) -> None:
    path = tmp_path / "altered.stoker"
    path.write_bytes(ALTERATIONS[what](sound))
    with pytest.raises(StokerError) as refused:
        bundle_archive.open_archive(path, KEY.public).verify(silent)
    assert refused.value.what == message


def _with_path(path: str) -> tuple[Item, ...]:
    (wheel, model) = small_bundles.manifest().items
    files = (ItemFile(path, model.files[0].sha256), *model.files[1:])
    return (wheel, changed_item(model, files=files))


SIGNED_TRICKS: dict[str, dict[str, object]] = {
    **{
        f"the path {path!r}": {"items": _with_path(path)}
        for path in (
            *("../evil", "/etc/evil", "a/../../evil", "a//b", "", ".", "..", "a\\..\\evil"),
            *("C:evil", "a\0b", "a\nb", "x" * 2000, "x" * 256, "é" * 128, "a/.", "./a"),
            *("a\u202egnp.gguf", "a\x85b", "a\u2028b", "tokenizer.json/inside"),
        )
    },
    "a folder above": {
        "items": (
            small_bundles.manifest().items[0],
            changed_item(small_bundles.manifest().items[1], folder="../../evil"),
        )
    },
    "two files of one name": {"items": _with_path("tokenizer.json")},
    "a blob twice": {"blobs": (*small_bundles.manifest().blobs, small_bundles.manifest().blobs[0])},
    "a blob that no item has": {
        "blobs": (*small_bundles.manifest().blobs, Blob(digest(b"more"), 4))
    },
    "an item without its blob": {"blobs": small_bundles.manifest().blobs[:-1]},
    "a version that moves the cursor": {"stoker_version": "0.1\x1b[2J"},
    "an older format": {"format": 0},
    "a newer format": {"format": 2},
}


@pytest.mark.parametrize("what", SIGNED_TRICKS)
def test_a_maker_who_cheats_is_refused_too(what: str, home: Path, tmp_path: Path) -> None:
    """Its signature is right: what it states is not."""
    described = changed(small_bundles.manifest(), **SIGNED_TRICKS[what])
    contents = {**FILES, "more": b"more"}
    path = small_bundles.write(tmp_path / "tricks.stoker", described, contents=contents)
    before = tree(tmp_path)
    with pytest.raises(StokerError):
        load(path, tmp_path / "into")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "content",
    [
        b'{"format": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"format": 1, "created": "\xff"}',
        b'{"format": 1, "created": "\\ud800"}',
        b'{"format": ' + b"9" * 5000 + b"}",
        b"[]",
    ],
    ids=["deep", "no UTF-8", "half a character", "a huge number", "a list"],
)
def test_an_unsigned_manifest_may_hold_anything(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "any.stoker"
    path.write_bytes(member(bundle_archive.MANIFEST, content) + bundle_archive.END)
    with pytest.raises(StokerError, match="not a sound bundle"):
        bundle_archive.open_archive(path, None)


@pytest.mark.parametrize(("number", "maker"), [(0, "an older"), (2, "a newer")])
def test_another_format_names_who_made_it(number: int, maker: str, tmp_path: Path) -> None:
    described = changed(small_bundles.manifest(), format=number)
    path = small_bundles.write(tmp_path / "other.stoker", described)
    with pytest.raises(StokerError) as refused:
        bundle_archive.open_archive(path, KEY.public)
    assert maker in refused.value.why


def test_an_unsigned_bundle_is_read_only_without_a_key(tmp_path: Path) -> None:
    path = small_bundles.write(tmp_path / "unsigned.stoker", key=None)
    with pytest.raises(StokerError, match="not signed"):
        bundle_archive.open_archive(path, KEY.public)
    archive = bundle_archive.open_archive(path, None)
    archive.verify(silent)
    assert not archive.is_signed


def test_tar_reads_a_bundle(sound: Sound, tmp_path: Path) -> None:
    path = tmp_path / "sound.stoker"
    path.write_bytes(sound.content)
    with tarfile.open(path) as archive:
        names = archive.getnames()
        model = archive.extractfile(f"blobs/sha256/{digest(FILES['model.gguf'])}")
        assert model is not None
        assert model.read() == FILES["model.gguf"]
    assert names[:3] == ["manifest.json", "manifest.json.minisig", "bootstrap.py"]


def test_sizes_above_8_gib_have_a_header_of_one_block() -> None:
    block = header("blobs/sha256/" + "a" * 64, 4 << 40)
    assert len(block) == BLOCK_BYTES
    assert tarfile.TarInfo.frombuf(block, "ascii", "strict").size == 4 << 40
