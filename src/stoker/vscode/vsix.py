"""The VS Code extension that ships inside this package."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

#: Built from ``extension/`` by ``scripts/rebuild-extension.sh``; the same sources give the same
#: bytes, and a test fails while the two differ.
VSIX = Path(__file__).with_name("stoker.vsix")


@dataclass(frozen=True, slots=True)
class Shipped:
    """The extension's own version, and the least version of VS Code that it runs in."""

    version: str
    least_vscode: str


def shipped(vsix: Path = VSIX) -> Shipped:
    """What the extension that ships here says of itself."""
    with zipfile.ZipFile(vsix) as archive:
        manifest = json.loads(archive.read("extension/package.json"))
    return Shipped(manifest["version"], manifest["engines"]["vscode"].lstrip("^>=~"))
