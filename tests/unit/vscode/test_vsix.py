"""The shipped VSIX matches its sources."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

from stoker.vscode import VSIX

EXTENSION = Path(__file__).parents[3] / "extension"


def hash_of_sources() -> str:
    """The hash of extension/build.mjs: the name and bytes of every file in the VSIX."""
    files = [
        path.relative_to(EXTENSION).as_posix()
        for folder in ("src", "media", "l10n")
        for path in (EXTENSION / folder).rglob("*")
        if path.is_file()
    ]
    top = re.compile(r"package.*\.json|README\.md|build\.mjs")
    files += [path.name for path in EXTENSION.iterdir() if top.fullmatch(path.name)]
    digest = hashlib.sha256()
    for name in sorted([*files, ".vscodeignore"]):
        digest.update(f"{name}\0".encode() + (EXTENSION / name).read_bytes() + b"\0")
    return digest.hexdigest()


def test_the_shipped_vsix_was_built_from_these_sources() -> None:
    with zipfile.ZipFile(VSIX) as archive:
        built_from = archive.read("extension/dist/sources.sha256").decode().strip()
    assert built_from == hash_of_sources(), "run scripts/rebuild-extension.sh --no-install"


def test_the_vsix_stays_under_100_kb() -> None:
    assert VSIX.stat().st_size <= 100_000


def test_the_lock_file_names_no_registry() -> None:
    lock = (EXTENSION / "package-lock.json").read_text()
    assert '"resolved"' not in lock
