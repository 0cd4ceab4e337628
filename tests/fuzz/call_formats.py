"""Fuzz the call formats: ``python tests/fuzz/call_formats.py --minutes 30``.

Random calls in every format, with random prose and pieces: no exception, no call that was not
whole, no text lost, and the calls are those that were printed. The properties are those of
``tests/unit/tokens/test_printed_calls.py``, with new inputs until the time is over.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from hypothesis import HealthCheck, Phase, settings  # noqa: E402

#: Examples between two looks at the clock.
_EXAMPLES = 500
settings.register_profile(
    "fuzz",
    max_examples=_EXAMPLES,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz")  # before the properties take their settings from it

from tests.unit.tokens import test_printed_calls as properties  # noqa: E402


def main() -> None:
    """Run all properties in turn until the time is over; a failure ends it with its input."""
    parser = argparse.ArgumentParser(description="Fuzz the formats in which models print calls.")
    parser.add_argument("--minutes", type=float, default=30)
    end = time.monotonic() + 60 * parser.parse_args().minutes
    rounds = 0
    while time.monotonic() < end:
        for name in sorted(vars(properties)):
            if name.startswith("test_"):
                getattr(properties, name)()
        rounds += 1
    print(f"{rounds} rounds of {_EXAMPLES} inputs for each property, no failure.")


if __name__ == "__main__":
    main()
