"""Bytes and counts as a reason states them."""

from __future__ import annotations

GIB = 1024**3
MIB = 1024**2


def size(count: float) -> str:
    """Bytes as a person reads them: ``1.5 GiB``, ``93 MiB``."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def parameters(count: float) -> str:
    """Parameters as people write them: ``7.6B``, ``494M``."""
    if count >= 1e12:
        return f"{count / 1e12:.3g}T"
    return f"{count / 1e9:.3g}B" if count >= 1e9 else f"{count / 1e6:.0f}M"
