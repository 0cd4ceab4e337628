"""What ``stoker size`` costs: ``python benchmarks/size_search.py [--developers N]``.

Goals: a full search in under 60 s and under 1 GB of memory, on one core.
"""

from __future__ import annotations

import argparse
import resource
from time import process_time

from stoker.application.capacity import size
from stoker.application.capacity_request import CapacityRequest
from stoker.generator_result import GeneratorResult

_GOAL_S, _GOAL_MIB = 60.0, 1024.0


def main() -> None:
    """Print CPU time and memory of the search with its whole report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--developers", type=int, default=200)
    began = process_time()
    report = GeneratorResult(size(CapacityRequest(parser.parse_args().developers))).read()
    took_s = process_time() - began
    used_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = report.search
    print(
        f"{found.options} options, {found.simulated} simulated: {took_s:.1f} s, {used_mib:.0f} MiB"
    )
    reached = took_s < _GOAL_S and used_mib < _GOAL_MIB
    print(f"{'reached' if reached else 'MISSED'}: {_GOAL_S:.0f} s, {_GOAL_MIB:.0f} MiB")


if __name__ == "__main__":
    main()
