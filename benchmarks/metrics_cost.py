"""What metrics cost: ``python benchmarks/metrics_cost.py``.

``Metrics.note`` is called for requests of one owner and of 1,000, in turns, so that drifts of the
machine's speed affect both alike; then the whole is written as Prometheus reads it. Times are CPU
times. Goals: at most 15 us a request, and 1,000 owners at most 1 us more than one. What is left
between them is the memory that 1,000 names and 500 sets of counters take in the processor's cache.
"""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks import last_runs

from stoker.gateway.usage.metrics import Metrics
from stoker.usage_records import UsageRow

ROW = UsageRow(
    *(0, "ann", "k1", "qwen2.5-coder-7b", "/v1/chat/completions", 200),
    *(5000, 300, 4000, 100),
    *(0, 0.2, 3.2, 0.1),
    *(0, 0, "", None),
)
REQUESTS = 20_000
ROUNDS = 15


def per_request_us(metrics: Metrics, rows: list[UsageRow]) -> float:
    """Microseconds of CPU for each request."""
    began = time.process_time()
    for number in range(REQUESTS):
        metrics.note(rows[number % len(rows)], "vllm", streamed=True)
    return (time.process_time() - began) / REQUESTS * 1e6


def main() -> None:
    """Print the medians."""
    for_one, for_many = Metrics(), Metrics()
    rows = [ROW._replace(owner=f"owner {number}") for number in range(1000)]
    # Rows that differ only in their owner, for both: a list of 1,000 is slower to read than one.
    same = [ROW._replace(owner="ann") for _ in rows]
    figures = [
        (per_request_us(for_one, same), per_request_us(for_many, rows)) for _ in range(ROUNDS + 1)
    ][1:]
    one, many = (statistics.median(column) for column in zip(*figures, strict=True))
    began = time.process_time()
    size = len(for_many.text(with_owners=True))
    wrote_ms = (time.process_time() - began) * 1000
    print("CPU us for a request, medians")
    print(f"one owner      {one:7.2f} (goal 15)")
    print(f"1,000 owners   {many:7.2f} (goal {one + 1:.2f})")
    print(f"/metrics       {wrote_ms:7.1f} ms in a thread of its own, {size / 1024:.0f} KB")
    if "--record" in sys.argv:
        last_runs.record("metrics_cost", {"one_us": round(one, 1), "many_us": round(many, 1)})


if __name__ == "__main__":
    main()
