"""Fit what vLLM reaches of the hardware's rates, and say how far off it is on the unseen.

``python benchmarks/calibrate_speed.py [--write]``: prints the errors on GPUs and on models that
were left out of the fit, and with ``--write`` stores the coefficients of the fit to everything in
``src/stoker/data/speed.toml``. Takes about two minutes.

Every coefficient starts from what is known of the hardware and is held near it: a coefficient moves
by a factor of 1.3 at the price of one row that is 15 % off. That keeps what few rows speak for (one
model, one GPU) from being bent to fit them.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median, quantiles

import numpy as np
from measured_rows import DATA, ServingRow, serving_rows, speed_rows
from scipy.optimize import least_squares

from stoker.engines.vllm.vllm_speed import Efficiency, times
from stoker.errors import StokerError

TARGET = Path(__file__).parents[1] / "src" / "stoker" / "data" / "speed.toml"
_NAMES = [field.name for field in fields(Efficiency)]
_START = np.log([getattr(Efficiency(), name) for name in _NAMES])
#: How far a coefficient may move, as the logarithm of a factor, at the price of one row.
_FREEDOM = 0.25
#: A first token's time depends on how a benchmark lets its requests arrive, so it counts less.
_FIRST_TOKEN_WEIGHT = 0.6


@dataclass(frozen=True)
class Errors:
    """Relative errors of the two times, one value a row that measured it."""

    token: tuple[float, ...]
    first_token: tuple[float, ...]

    def __add__(self, other: Errors) -> Errors:
        return Errors(self.token + other.token, self.first_token + other.first_token)

    def line(self) -> str:
        """Medians and ninth deciles in percent."""
        return (
            f"time per token: median {_median(self.token):5.1f} %, p90 {_p90(self.token):6.1f} %; "
            f"time to first token: median {_median(self.first_token):5.1f} %, "
            f"p90 {_p90(self.first_token):6.1f} %  ({len(self.token)} rows)"
        )


def load_rows() -> list[ServingRow]:
    """Every row that can be used, from both files."""
    files = (
        *serving_rows(DATA / "measured_serving.csv"),
        *speed_rows(DATA / "measured_speed.csv"),
    )
    return [row for row in files if not isinstance(row, StokerError)]


def fit(rows: Sequence[ServingRow]) -> Efficiency:
    """The coefficients that fit ``rows`` best. Repeated points count once, doubtful ones not."""
    points = list({row.key: row for row in rows if not row.doubt}.values())
    groups = Counter((row.setup.model, row.gpu_name) for row in points)
    weights = [(20 / groups[row.setup.model, row.gpu_name]) ** 0.4 for row in points]
    result = least_squares(
        _residuals, _START, args=(points, weights), loss="soft_l1", f_scale=0.15, max_nfev=20
    )
    return Efficiency(*np.exp(result.x).tolist())


def errors(efficiency: Efficiency, rows: Sequence[ServingRow]) -> Errors:
    """How far predictions with ``efficiency`` are off on ``rows``."""
    token, first = [], []
    for row in rows:
        first_s, token_s, _ = times(row.load, row.hardware, row.traffic, efficiency)
        if row.token_s:
            token.append(token_s / row.token_s - 1)
        if row.first_token_s:
            first.append(first_s / row.first_token_s - 1)
    return Errors(tuple(token), tuple(first))


def left_out(
    rows: Sequence[ServingRow], what: Callable[[ServingRow], Hashable], say: bool = True
) -> Errors:
    """Errors on each GPU, or model, predicted by a fit to all the others."""
    total = Errors((), ())
    for name in sorted({str(what(row)) for row in rows}):
        others = [row for row in rows if str(what(row)) != name]
        these = errors(fit(others), [row for row in rows if str(what(row)) == name])
        if say:
            print(f"  {name:36} {these.line()}", flush=True)
        total += these
    return total


def _residuals(x: np.ndarray, rows: Sequence[ServingRow], weights: Sequence[float]) -> np.ndarray:
    efficiency = Efficiency(*np.exp(x).tolist())
    out = []
    for row, weight in zip(rows, weights, strict=True):
        first_s, token_s, _ = times(row.load, row.hardware, row.traffic, efficiency)
        out.append(weight * math.log(token_s / row.token_s) if row.token_s else 0.0)
        seen = row.first_token_s
        out.append(_FIRST_TOKEN_WEIGHT * weight * math.log(first_s / seen) if seen else 0.0)
    return np.array([*out, *((x - _START) / _FREEDOM)])


def _median(values: Sequence[float]) -> float:
    return 100 * median(map(abs, values)) if values else math.nan


def _p90(values: Sequence[float]) -> float:
    return 100 * quantiles(map(abs, values), n=10)[-1] if len(values) > 1 else math.nan


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """The factors below and above a prediction between which four of five measurements lie."""
    ratios = quantiles([1 / (1 + value) for value in values if value > -1], n=10)
    return ratios[0], ratios[-1]


def _write(efficiency: Efficiency, held_out: Errors) -> None:
    lines = [
        "# What vLLM reaches of the hardware's rates: written by benchmarks/calibrate_speed.py.",
        "# The names are those of stoker.engines.vllm.vllm_speed.Efficiency; times are in seconds.",
        "",
        "[efficiency]",
        *(f"{name} = {getattr(efficiency, name):.4g}" for name in _NAMES),
        "",
        "# Measured time / predicted time: the range of four of five rows, on models left out.",
        "[interval]",
    ]
    for name, values in (("token", held_out.token), ("first_token", held_out.first_token)):
        low, high = _spread(values)
        lines.append(f"{name} = [{low:.2f}, {high:.2f}]")
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Fit, print, and store where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"store the fit in {TARGET.name}")
    rows = load_rows()
    arguments = parser.parse_args()
    efficiency = fit(rows)
    print("fitted to all rows       ", errors(efficiency, rows).line())
    print("each GPU left out:")
    gpus = left_out(rows, lambda row: row.gpu_name)
    print("each model left out:")
    models = left_out(rows, lambda row: row.setup.model)
    print("GPUs left out            ", gpus.line())
    print("models left out          ", models.line())
    if arguments.write:
        _write(efficiency, models)
        print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
