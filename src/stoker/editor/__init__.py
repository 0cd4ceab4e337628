"""VS Code on this machine: its settings, and Stoker's extension in it."""

from __future__ import annotations

from stoker.editor.vsix import VSIX

__all__ = ["VSIX"]
