"""How far the planner's predictions are from what was measured, row by row.

``python benchmarks/plan_accuracy.py [--data FOLDER] [--rows] [--held-out] [--record]``

Reads ``measured_memory.csv``, ``measured_serving.csv`` and ``measured_speed.csv``; other files of
the same columns are read with ``--data``. ``--rows`` prints every row. ``--held-out`` also
fits the speed without each GPU and each model, and prints the errors on those (needs scipy, 2
minutes). ``--record`` does that too, and writes the table of the docs.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from statistics import median, quantiles
from time import process_time
from typing import TYPE_CHECKING

from last_runs import record_table
from measured_rows import (
    DATA,
    GIB,
    MemoryRow,
    ServingRow,
    memory_rows,
    serving_rows,
    speed_rows,
)

from stoker.application import rank
from stoker.engines.vllm.vllm_memory import max_concurrency, vllm_memory
from stoker.engines.vllm.vllm_speed import calibrated
from stoker.errors import StokerError
from stoker.host import Cpu, Host, Memory, find_gpu
from stoker.models import known_models
from stoker.planning import Requirements, candidates_of

if TYPE_CHECKING:
    from calibrate_speed import Errors

_TARGETS = {"cache": (2, 5), "token": (10, 25), "first": (15, 40)}
#: GPUs with hundreds of rows; the others have a few each.
_MEASURED_MOST = ("B200", "B300", "H100 SXM", "H200 SXM")


def main() -> None:
    """Print rows and summaries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the CSV files")
    parser.add_argument("--rows", action="store_true", help="print every row")
    parser.add_argument("--held-out", action="store_true", help="errors on rows outside the fit")
    parser.add_argument("--record", action="store_true", help="write the table of the docs")
    arguments = parser.parse_args()
    table = _memory(arguments.data / "measured_memory.csv")
    rows = _speed(arguments.data, every_row=arguments.rows)
    repeated = _repeated(rows)
    _latency()
    if arguments.held_out or arguments.record:
        table += _held_out(rows)
    table += repeated
    if arguments.record:
        head = ("what", "median error", "worst tenth begins at")
        record_table("plan_accuracy", head, table, "computed from published rows")


# --- memory --------------------------------------------------------------------------------------


def _memory(path: Path) -> list[tuple[str, ...]]:
    if not path.exists():
        return []
    print("MEMORY: per GPU, predicted / measured")
    cache, sized, capacity, weights, wrong = [], [], [], [], []
    for name, row in memory_rows(path):
        if isinstance(row, StokerError):
            print(f"  {name:44} not predicted: {row.what}")
            continue
        found = _memory_row(name, row)
        capacity += found["capacity"]
        weights += found["weights"]
        if not row.unknown:
            cache += found["cache"]
            sized += found["sized"]
            wrong += found["wrong"]
    print(_line("weights", weights))
    print(_line("tokens that the measured cache holds", capacity))
    print(_line("KV cache memory, rows whose flags are known", cache, _TARGETS["cache"]))
    print(_line("the same, with the files' size known", sized, _TARGETS["cache"]))
    print(f"  predicted to fit, and failed: {len(wrong)} {' '.join(wrong)}\n")
    return [
        _cells(f"tokens that a cache of known size holds ({len(capacity)} logs)", capacity),
        _cells(f"weights ({len(weights)} logs)", weights),
        _cells(f"KV cache memory from the shape alone, flags known ({len(cache)} logs)", cache),
        _cells("KV cache memory with the size of the files known", sized),
    ]


def _cells(name: str, errors: Sequence[float]) -> tuple[str, ...]:
    """A row of the docs' table."""
    known = [error for error in errors if not math.isnan(error)]
    return name, f"{_median(known):.1f} %", f"{_p90(known):.1f} %"


def _memory_row(name: str, row: MemoryRow) -> dict[str, list]:
    arch, settings = row.setup.architecture, row.settings
    memory = vllm_memory(arch, row.setup.precision, settings, row.total_bytes)
    found: dict[str, list] = {"cache": [], "capacity": [], "weights": [], "wrong": [], "sized": []}
    text = [f"weights {_pair(memory.weights_bytes, row.weights_bytes)}"]
    text.append(f"KV {_pair(memory.kv_cache_bytes, row.kv_cache_bytes)}")
    if row.weights_bytes:
        found["weights"].append(memory.weights_bytes / row.weights_bytes - 1)
    if row.kv_cache_bytes is not None and row.kv_cache_bytes <= 0:
        text.append("does not start: " + ("foreseen" if not memory.fits else "NOT FORESEEN"))
        if memory.fits:
            found["wrong"].append(name)
    elif row.kv_cache_bytes:
        found["cache"].append(memory.kv_cache_bytes / row.kv_cache_bytes - 1)
        size = row.weights_bytes and row.weights_bytes * settings.tensor_parallel_size
        known = vllm_memory(arch, row.setup.precision, settings, row.total_bytes, size)
        found["sized"].append(known.kv_cache_bytes / row.kv_cache_bytes - 1)
        if row.kv_cache_tokens:
            held = max_concurrency(arch, settings, row.kv_cache_bytes) * settings.max_model_len
            found["capacity"].append(held / row.kv_cache_tokens - 1)
            text.append(f"tokens {held:,.0f} / {row.kv_cache_tokens:,}")
    elif row.kv_cache_tokens and not row.unknown:
        found["cache"].append(memory.kv_cache_tokens / row.kv_cache_tokens - 1)
        text.append(f"tokens {memory.kv_cache_tokens:,} / {row.kv_cache_tokens:,}")
    error = f" {100 * found['cache'][0]:+.1f} %" if found["cache"] else ""
    why = f"  [not known: {row.unknown}]" if row.unknown else ""
    print(f"  {name:44} {', '.join(text)}{error}{why}")
    return found


def _pair(predicted: float, measured: int | None) -> str:
    shown = "?" if measured is None else f"{measured / GIB:.2f}"
    return f"{predicted / GIB:.2f} / {shown} GiB"


# --- speed ---------------------------------------------------------------------------------------


def _speed(folder: Path, *, every_row: bool) -> list[ServingRow]:
    rows: list[ServingRow] = []
    problems: list[StokerError] = []
    for file, reader in (
        ("measured_serving.csv", serving_rows),
        ("measured_speed.csv", speed_rows),
    ):
        if not (folder / file).exists():
            continue
        for row in reader(folder / file):
            (problems if isinstance(row, StokerError) else rows).append(row)  # type: ignore[arg-type]
    print(f"SPEED: {len(rows)} rows, with the coefficients in src/stoker/data/speed.toml")
    for what in sorted({problem.what for problem in problems}):
        print(f"  not predicted: {what}")
    errors = [_speed_row(row, verbose=every_row) for row in rows]
    sure = [error for error, row in zip(errors, rows, strict=True) if not row.doubt]
    token = [token for token, _ in sure if token is not None]
    first = [first for _, first in sure if first is not None]
    print(_line("time per token, rows without a doubt", token, _TARGETS["token"]))
    print(_line("time to first token, rows without a doubt", first, _TARGETS["first"]))
    for name in sorted({row.gpu_name for row in rows}):
        _group(name, [e for e, row in zip(errors, rows, strict=True) if row.gpu_name == name])
    for name in sorted({row.setup.model for row in rows}):
        _group(name, [e for e, row in zip(errors, rows, strict=True) if row.setup.model == name])
    doubts = sorted({row.doubt for row in rows if row.doubt})
    for doubt in doubts:
        _group(f"[{doubt}]", [e for e, r in zip(errors, rows, strict=True) if r.doubt == doubt])
    return rows


def _speed_row(row: ServingRow, *, verbose: bool) -> tuple[float | None, float | None]:
    efficiency, _, _ = calibrated()
    first_s, token_s = row.predicted(efficiency)
    token = token_s / row.token_s - 1 if row.token_s else None
    first = first_s / row.first_token_s - 1 if row.first_token_s else None
    if verbose:
        t, setup = row.traffic, row.setup
        print(
            f"  {setup.model} {setup.precision.name} {setup.gpus}x{row.gpu_name} "
            f"{t.concurrency}x({t.prompt_tokens}+{t.answer_tokens}): token "
            f"{_ms(token_s)} / {_ms(row.token_s)} {_percent(token)}, first "
            f"{_ms(first_s)} / {_ms(row.first_token_s)} {_percent(first)}"
            f"{'  [' + row.doubt + ']' if row.doubt else ''}"
        )
    return token, first


def _repeated(rows: Sequence[ServingRow]) -> list[tuple[str, ...]]:
    """How far measurements of one set-up are from each other: no prediction is nearer.

    Each pair counts twice, since either may be the one that is predicted.
    """
    alike: dict[tuple[object, ...], list[ServingRow]] = defaultdict(list)
    for row in rows:
        if not row.doubt:
            setup = row.setup
            key = (setup.model, setup.precision, setup.gpu.label, setup.gpus, row.traffic)
            alike[(*key, repr(row.load), row.limits)].append(row)
    pairs = [pair for group in alike.values() for pair in permutations(group, 2)]
    token = [a.token_s / b.token_s - 1 for a, b in pairs if a.token_s and b.token_s]
    first = [a.first_token_s / b.first_token_s - 1 for a, b in pairs if _both_first(a, b)]
    print("\nREPEATED: one measurement beside another of the same set-up")
    print(_line("time per token", token))
    print(_line("time to first token", first))
    beside = "one measurement beside another of the same set-up"
    return [
        _cells(f"time per token, {beside} ({len(token) // 2} pairs)", token),
        _cells(f"time to first token, likewise ({len(first) // 2} pairs)", first),
    ]


def _both_first(a: ServingRow, b: ServingRow) -> bool:
    return bool(a.first_token_s and b.first_token_s)


def _latency() -> None:
    """Print the CPU time of planning the whole catalogue on eight GPUs."""
    spec = find_gpu("H200")
    gib256 = 256 * GIB
    host = Host(
        system="Linux",
        arch="x86_64",
        cpu=Cpu("any", 32, 32, avx2=True),
        memory=Memory(gib256, gib256),
        gpus=tuple(spec.gpu(index) for index in range(8)),
    )
    candidates = candidates_of(known_models())
    began = process_time()
    rank(host, candidates, Requirements(purpose="agent"), spec)
    print(
        f"\nPLANNING for 8 x H200: {1e3 * (process_time() - began):.0f} ms to rank "
        f"{len(candidates)} variants of models (whole commands: benchmarks/plan_time.py)"
    )


def _group(name: str, errors: Sequence[tuple[float | None, float | None]]) -> None:
    token = [token for token, _ in errors if token is not None]
    first = [first for _, first in errors if first is not None]
    print(
        f"    {name[:52]:52} token {_median(token):6.1f} % of {len(token):4}, "
        f"first {_median(first):6.1f} % of {len(first):4}"
    )


def _held_out(rows: Sequence[ServingRow]) -> list[tuple[str, ...]]:
    from calibrate_speed import left_out  # noqa: PLC0415  (scipy is needed only for this)

    print("\nHELD OUT: each predicted by a fit to all the others")
    rows, table = [row for row in rows if not row.doubt], []
    for name, key in (
        ("GPUs", lambda row: row.gpu_name),
        ("models", lambda row: row.setup.model),
    ):
        errors = left_out(rows, key, verbose=False)
        print(_line(f"time per token, {name} left out", errors.token, _TARGETS["token"]))
        first = _TARGETS["first"]
        print(_line(f"time to first token, {name} left out", errors.first_token, first))
        held = [f"{100 * errors.held(what):.0f} %" for what in ("token", "first_token")]
        print(f"  intervals shaped by other {name} hold {' and '.join(held)}")
        unseen = f"{name} that the fit has not seen ({len(rows):,} rows)"
        table.append(_cells(f"time per token, {unseen}", errors.token))
        table.append(_cells(f"time to first token, {unseen}", errors.first_token))
        if name == "GPUs":
            table.append(_rare(errors))
    return table


def _rare(errors: Errors) -> tuple[str, ...]:
    """The GPUs of few rows, which a median over all rows does not show."""
    pairs = zip(errors.token, errors.groups, strict=True)
    token = [error for error, gpu in pairs if gpu not in _MEASURED_MOST and not math.isnan(error)]
    names = " and ".join((", ".join(_MEASURED_MOST[:-1]), _MEASURED_MOST[-1]))
    print(_line(f"time per token, GPUs other than {names}", token))
    return _cells(f"time per token, GPUs other than {names} ({len(token)} rows), left out", token)


def _line(name: str, errors: Sequence[float], target: tuple[int, int | None] | None = None) -> str:
    errors = [error for error in errors if not math.isnan(error)]
    text = (
        f"  {name:48} median {_median(errors):5.1f} %, p90 {_p90(errors):6.1f} % of {len(errors)}"
    )
    if target is None or not errors:
        return text
    reached = _median(errors) <= target[0] and (target[1] is None or _p90(errors) <= target[1])
    goal = f"{target[0]} %" + (f", p90 {target[1]} %" if target[1] else "")
    return f"{text}  ({'reached' if reached else 'MISSED'}: {goal})"


def _median(values: Sequence[float]) -> float:
    return 100 * median(map(abs, values)) if values else math.nan


def _p90(values: Sequence[float]) -> float:
    if not values:
        return math.nan
    sizes = sorted(abs(value) for value in values)
    return 100 * (quantiles(sizes, n=10, method="inclusive")[-1] if len(sizes) > 1 else sizes[0])


def _ms(seconds: float | None) -> str:
    return "?" if seconds is None else f"{1e3 * seconds:.1f} ms"


def _percent(error: float | None) -> str:
    return "" if error is None else f"{100 * error:+.0f} %"


if __name__ == "__main__":
    main()
