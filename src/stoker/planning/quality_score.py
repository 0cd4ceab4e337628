"""How good a model is for code: an estimate that puts models in order, and nothing else."""

from __future__ import annotations

import math

from stoker.models import KnownModel, Model

#: The scale: points of SWE-bench Verified. Where a model has a figure there, that is its quality;
#: the others get what a model of its size and age scores, by a line through the catalogue's own
#: figures: 7 points for each doubling of the size and 1.8 for each month since January 2025.
_BENCHMARK = "SWE-bench Verified"
_BASE, _PER_DOUBLING, _PER_MONTH = 8.0, 7.0, 1.8
#: Publishers' own figures are higher than those of others for the same models.
_PUBLISHER_DISCOUNT = 4.0
#: Points that narrow weights cost: 4 bits 1 to 3 % of a benchmark, 8 hardly any (arXiv:2411.02355).
_NARROW = {"fp8": 0.3, "int8": 0.5, "mxfp8": 0.3, "bf16": 0.0, "fp16": 0.0}
_FOUR_BITS = 2.0
_UNKNOWN_RELEASE = "2025-06"


def quality_points(known: KnownModel | None, model: Model) -> float:
    """Points for ordering. Models that are not in the catalogue are ordered by size alone."""
    if known is None:
        return _BASE + _PER_DOUBLING * math.log2(max(0.05, (model.parameters or 1) / 1e9))
    return _quality(known) - _cost(known, model.quantization or known.native_format)


def _quality(known: KnownModel) -> float:
    quality = known.quality
    if quality is not None and quality.benchmark.startswith(_BENCHMARK):
        return quality.score - (_PUBLISHER_DISCOUNT if quality.by == "publisher" else 0.0)
    # A mixture of experts is about as good as a dense model of the geometric mean of its sizes.
    size = math.sqrt(known.parameters * (known.active_parameters or known.parameters))
    year, month = (known.released or _UNKNOWN_RELEASE).split("-")[:2]
    months = 12 * (int(year) - 2025) + int(month) - 1
    return _BASE + _PER_DOUBLING * math.log2(size / 1e9) + _PER_MONTH * months


def _cost(known: KnownModel, quantization: str) -> float:
    if quantization == known.native_format:
        return 0.0
    return _NARROW.get(quantization, _FOUR_BITS)
