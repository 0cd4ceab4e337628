"""Fuzz the assembler: ``python tests/fuzz/assembler.py --minutes 30``. Needs hypothesis alone.

Generated answers, with calls that the model prints and with calls that the server sends, are cut
and divided at any byte. The properties are those of ``tests/support/generated_answers.py``: no
exception, no call that was not whole, no text lost, and streams agree with whole answers.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.support import generated_answers  # noqa: E402

#: Examples between two looks at the clock.
_EXAMPLES = 500
_PLACES = st.integers(0, 20_000)
_ANSWERS = st.one_of(generated_answers.printed_answers(), generated_answers.native_answers())


def batch(number: int) -> Callable[[], None]:
    """A test of ``_EXAMPLES`` answers, other ones for each number."""

    @seed(number)
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(_ANSWERS, _PLACES)
    def test(answer: generated_answers.Answer, place: int) -> None:
        generated_answers.check(answer, place)

    return test


def main() -> None:
    """Run batches until the time is up; the first failure ends it with the smallest example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="the number of the first batch")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    for number in itertools.count(options.seed):
        if time.monotonic() >= end:
            print(f"{(number - options.seed) * _EXAMPLES} answers, no failure")
            return
        batch(number)()


if __name__ == "__main__":
    main()
