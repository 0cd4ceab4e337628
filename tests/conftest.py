"""Settings of all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine is no defect: time is measured by benchmarks, not by tests. The same examples
# every time make a failure one that anybody can see again.
settings.register_profile(
    "stoker", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("stoker")
