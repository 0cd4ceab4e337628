"""Settings of all tests."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A busy machine is no defect: time is measured by benchmarks, not by tests.

# Who starts the tests in the background has interrupts ignored, which the programs under test
# would inherit: Ctrl-C could not be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "stoker",
    deadline=None,
    # A change is judged by the same examples every time; new ones are looked for with
    # `pytest --hypothesis-profile=search`.
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", settings.get_profile("stoker"), derandomize=False, max_examples=3000
)
settings.load_profile("stoker")
