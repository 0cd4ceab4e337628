"""Bundles of a few kilobytes, written by the writer of real ones."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import msgspec

from stoker.bundles import archive_writing, bundle_manifest, target_machines
from stoker.bundles.bundle_manifest import Blob, Item, ItemFile, Manifest
from stoker.bundles.minisign_keys import SecretKey

KEY = SecretKey(b"maker's ", b"the seed of the bundle's maker..")
OTHER_KEY = SecretKey(b"other's ", b"the seed of another key, no one.")
PROGRAM = b"print('bootstrap')\n"
#: Content that fills no block, one block, and some; and of a model in a folder of its own.
FILES = {
    "model.gguf": b"GGUF" + bytes(range(256)) * 9,
    "tokenizer.json": b"{}" * 256,
    "empty.txt": b"",
}


def silent(_done: int, _total: int | None) -> None:
    """No progress is shown."""


def quiet(_step: str, _done: int, _total: int | None) -> None:
    """No progress is shown of any step."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def stoker_wheel(version: str = "0.1.0") -> bytes:
    """A wheel named Stoker that needs nothing, and whose command prints its arguments."""
    info = f"stoker-{version}.dist-info"
    members = {
        "stoker_small.py": "import sys\ndef main():\n    print(sys.argv[1:])\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: stoker\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nstoker = stoker_small:main\n",
    }
    record = "".join(f"{name},,\n" for name in (*members, f"{info}/RECORD"))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in (*members.items(), (f"{info}/RECORD", record)):
            archive.writestr(zipfile.ZipInfo(name), text)
    return out.getvalue()


def manifest(
    contents: dict[str, bytes] | None = None, *, held: frozenset[str] = frozenset()
) -> Manifest:
    """What describes a bundle for this machine with one wheel and one model.

    ``held`` are the digests of blobs that an older bundle brought.
    """
    contents = FILES if contents is None else contents
    wheel = stoker_wheel()
    blobs = [Blob(digest(each), len(each)) for each in (wheel, *contents.values())]
    files = tuple(ItemFile(path, digest(content)) for path, content in contents.items())
    return Manifest(
        format=bundle_manifest.FORMAT,
        stoker_version="0.1.0",
        created="2026-11-28T10:00:00+00:00",
        target=target_machines.target(None, None, "2.17"),
        blobs=tuple(blob for blob in blobs if blob.sha256 not in held),
        base_blobs=tuple(blob for blob in blobs if blob.sha256 in held),
        items=(
            Item(
                "wheel",
                "stoker-0.1.0-py3-none-any.whl",
                (ItemFile("stoker-0.1.0-py3-none-any.whl", digest(wheel)),),
            ),
            Item("model", "acme/tiny", files, folder="hub/acme--tiny/main"),
        ),
        bootstrap=Blob(digest(PROGRAM), len(PROGRAM)),
    )


def changed(old: Manifest, **fields: object) -> Manifest:
    """The same manifest with other fields."""
    return msgspec.structs.replace(old, **fields)


def changed_item(old: Item, **fields: object) -> Item:
    """The same item with other fields."""
    return msgspec.structs.replace(old, **fields)


def write(
    path: Path,
    described: Manifest | None = None,
    key: SecretKey | None = KEY,
    contents: dict[str, bytes] | None = None,
) -> Path:
    """Write a bundle of ``described``, whose blobs are ``contents`` and the wheel, to ``path``."""
    described = manifest(contents) if described is None else described
    folder = path.with_name(f"{path.name}.files")
    folder.mkdir(exist_ok=True)
    sources = {}
    for content in (stoker_wheel(), *(FILES if contents is None else contents).values()):
        sources[digest(content)] = folder / digest(content)
        sources[digest(content)].write_bytes(content)
    archive_writing.write(path, described, PROGRAM, sources, key, silent)
    return path
