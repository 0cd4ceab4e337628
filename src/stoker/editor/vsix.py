"""The VS Code extension that ships inside this package."""

from __future__ import annotations

from pathlib import Path

#: Built from ``extension/`` by ``scripts/rebuild-extension.sh``; the same sources give the same
#: bytes, and a test fails while the two differ.
VSIX = Path(__file__).with_name("stoker.vsix")
