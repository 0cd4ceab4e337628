"""Fit vLLM's efficiency to measured rows, and print the errors on rows outside the fit.

``python benchmarks/calibrate_speed.py [--write]``: prints the errors on GPUs and on models that
were left out of the fit, and with ``--write`` stores the coefficients of the fit to everything in
``src/stoker/data/speed.toml``. Takes about two minutes.

Every coefficient starts from what is known about the hardware and is held near it: moving it by a
factor of 1.3 costs as much as twenty rows that are 15 % off. That keeps a few rows (one model, one
GPU) from bending a coefficient.
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

from stoker.engines.vllm.vllm_speed import Efficiency
from stoker.errors import StokerError

TARGET = Path(__file__).parents[1] / "src" / "stoker" / "data" / "speed.toml"
_NAMES = [field.name for field in fields(Efficiency)]
_START = np.log([getattr(Efficiency(), name) for name in _NAMES])
#: The residual of a coefficient that moved by a factor of e. Twice as much and half as much give
#: median errors within 1.2 points of these on rows left out.
_STIFFNESS = 2.4
#: Errors beyond this (a logarithm) count less than by their square: some rows are of bad runs.
_LARGE_ERROR = 0.15
#: Quantiles of measured / predicted that bound an interval: a little wider than four of five,
#: because the rows outside both fit and interval are fewer than those inside.
_BOUNDS = (0.085, 0.915)
#: A first token's time depends on how a benchmark lets its requests arrive, so it counts less.
_FIRST_TOKEN_WEIGHT = 0.6


@dataclass(frozen=True)
class Errors:
    """Relative errors of the two times on rows, ``nan`` where a row did not measure one."""

    token: tuple[float, ...] = ()
    first_token: tuple[float, ...] = ()
    #: What each row counts, and the GPU or model that was left out for it.
    weights: tuple[float, ...] = ()
    groups: tuple[str, ...] = ()

    def __add__(self, other: Errors) -> Errors:
        return Errors(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Errors)))

    def line(self) -> str:
        """Medians and ninth deciles in percent."""
        return (
            f"time per token: median {_median(self.token):5.1f} %, p90 {_p90(self.token):6.1f} %; "
            f"time to first token: median {_median(self.first_token):5.1f} %, "
            f"p90 {_p90(self.first_token):6.1f} %  ({len(self.token)} rows)"
        )

    def interval(self, name: str, without: str = "") -> tuple[float, float]:
        """The factors of a prediction between which four of five measurements lie.

        Rows count as in the fit, so that the many of one model do not hide the few of others.
        ``without``: the group whose rows are not looked at.
        """
        rows = zip(getattr(self, name), self.weights, self.groups, strict=True)
        kept = [(1 / (1 + e), w) for e, w, g in rows if g != without and not math.isnan(e)]
        ratios, weights = np.array(kept).T
        low, high = np.quantile(ratios, _BOUNDS, weights=weights, method="inverted_cdf")
        return float(low), float(high)

    def held(self, name: str) -> float:
        """The share of rows in an interval that neither they nor their group have shaped."""
        bounds = {group: self.interval(name, without=group) for group in set(self.groups)}
        rows = zip(getattr(self, name), self.groups, strict=True)
        inside = [bounds[g][0] <= 1 / (1 + e) <= bounds[g][1] for e, g in rows if not math.isnan(e)]
        return float(np.mean(inside))


def load_rows() -> list[ServingRow]:
    """Every row that can be used, from both files; those with a doubt can't."""
    files = (
        *serving_rows(DATA / "measured_serving.csv"),
        *speed_rows(DATA / "measured_speed.csv"),
    )
    return [row for row in files if not isinstance(row, StokerError) and not row.doubt]


def fit(rows: Sequence[ServingRow], near: Efficiency | None = None) -> Efficiency:
    """The coefficients that fit ``rows`` best; ``near`` them is a shorter way there."""
    begin = _START if near is None else np.log([getattr(near, name) for name in _NAMES])
    result = least_squares(
        _residuals, begin, args=(rows, weights_of(rows)), max_nfev=20, ftol=1e-6, xtol=1e-5
    )
    return Efficiency(*np.exp(result.x).tolist())


def weights_of(rows: Sequence[ServingRow]) -> list[float]:
    """What each row counts: less where many are of one model on one GPU."""
    groups = Counter((row.setup.model, row.gpu_name) for row in rows)
    return [(20 / groups[row.setup.model, row.gpu_name]) ** 0.4 for row in rows]


def errors(efficiency: Efficiency, rows: Sequence[ServingRow], group: str = "") -> Errors:
    """How far predictions with ``efficiency`` are off on ``rows``."""
    token, first = [], []
    for row in rows:
        first_s, token_s = row.predicted(efficiency)
        token.append(token_s / row.token_s - 1 if row.token_s else math.nan)
        first.append(first_s / row.first_token_s - 1 if row.first_token_s else math.nan)
    return Errors(tuple(token), tuple(first), tuple(weights_of(rows)), (group,) * len(rows))


def left_out(
    rows: Sequence[ServingRow], what: Callable[[ServingRow], Hashable], verbose: bool = True
) -> Errors:
    """Errors on each GPU, or model, predicted by a fit to all the others."""
    total, everything = Errors(), fit(rows)
    for name in sorted({str(what(row)) for row in rows}):
        others = [row for row in rows if str(what(row)) != name]
        these = errors(
            fit(others, everything), [row for row in rows if str(what(row)) == name], name
        )
        if verbose:
            print(f"  {name:36} {these.line()}", flush=True)
        total += these
    return total


def _residuals(x: np.ndarray, rows: Sequence[ServingRow], weights: Sequence[float]) -> np.ndarray:
    efficiency = Efficiency(*np.exp(x).tolist())
    out = []
    for row, weight in zip(rows, weights, strict=True):
        first_s, token_s = row.predicted(efficiency)
        out.append(weight * math.log(token_s / row.token_s) if row.token_s else 0.0)
        seen = row.first_token_s
        out.append(_FIRST_TOKEN_WEIGHT * weight * math.log(first_s / seen) if seen else 0.0)
    squares = (np.array(out) / _LARGE_ERROR) ** 2
    robust = _LARGE_ERROR * np.sqrt(2 * (np.sqrt(1 + squares) - 1))
    return np.array([*robust, *(_STIFFNESS * (x - _START))])


def _median(values: Sequence[float]) -> float:
    known = [abs(value) for value in values if not math.isnan(value)]
    return 100 * median(known) if known else math.nan


def _p90(values: Sequence[float]) -> float:
    known = [abs(value) for value in values if not math.isnan(value)]
    return 100 * quantiles(known, n=10)[-1] if len(known) > 1 else math.nan


def _write(efficiency: Efficiency, held_out: Errors) -> None:
    lines = [
        "# What vLLM reaches of the hardware's rates: written by benchmarks/calibrate_speed.py.",
        "# The names are those of stoker.engines.vllm.vllm_speed.Efficiency; times are in seconds.",
        "",
        "[efficiency]",
        *(f"{name} = {getattr(efficiency, name):.4g}" for name in _NAMES),
        "",
        "# Measured time / predicted time: four of five rows, each of a GPU or a model left out.",
        "[interval]",
    ]
    for name in ("token", "first_token"):
        low, high = held_out.interval(name)
        lines.append(f"{name} = [{low:.2f}, {high:.2f}]")
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Fit, print the errors, and store the fit with ``--write``."""
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
    both = gpus + models
    for name in ("token", "first_token"):
        low, high = both.interval(name)
        print(
            f"{name}: four of five between {low:.2f} and {high:.2f} of the prediction; intervals "
            f"from other groups hold {100 * gpus.held(name):.0f} % (GPUs left out) and "
            f"{100 * models.held(name):.0f} % (models left out)"
        )
    if arguments.write:
        _write(efficiency, both)
        print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
