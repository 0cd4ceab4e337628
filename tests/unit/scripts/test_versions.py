"""One version: the package's, the extension's, and the newest that the changelog names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import stoker

ROOT = Path(__file__).resolve().parents[3]


def test_the_extension_has_the_version_of_the_package() -> None:
    manifest = json.loads((ROOT / "extension/package.json").read_text("utf-8"))
    assert manifest["version"] == stoker.__version__


def test_the_changelog_names_no_newer_version_and_describes_what_comes() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] in ("Unreleased", stoker.__version__)
    assert [name for name in headings[1:] if name == "Unreleased"] == []
