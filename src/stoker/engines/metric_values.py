"""The values of metrics in Prometheus's text format, as engines report them at ``/metrics``."""

from __future__ import annotations

import re
from collections.abc import Iterable


def metric_values(metrics: bytes, names: Iterable[str]) -> list[float]:
    """The values of all samples with one of these names, whatever their labels.

    Raises ``ValueError`` for one that is no number.
    """
    any_name = "|".join(map(re.escape, names))
    samples = rf"^(?:{any_name})(?:\{{.*\}})? (\S+)$".encode()
    return [float(value) for value in re.findall(samples, metrics, re.MULTILINE)]
