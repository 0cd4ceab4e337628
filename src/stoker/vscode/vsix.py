"""The VS Code extension that ships inside this package."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

#: The extension that Stoker ships.
#:
#: Built from ``extension/`` by ``scripts/rebuild-extension.sh``. The same sources give the same
#: bytes, and a test fails while they differ.
VSIX = Path(__file__).with_name("stoker.vsix")


@dataclass(frozen=True, slots=True)
class Shipped:
    """The extension's version, and the oldest version of VS Code that it supports."""

    version: str
    least_vscode: str


def shipped(vsix: Path = VSIX) -> Shipped:
    """The versions that the shipped extension declares."""
    with zipfile.ZipFile(vsix) as archive:
        manifest = json.loads(archive.read("extension/package.json"))
    return Shipped(manifest["version"], manifest["engines"]["vscode"].lstrip("^>=~"))
