"""Read the files of this folder, which are in Grafana's and Prometheus' own forms.

Every expression in them is tested against a real Prometheus, in
``tests/integration/test_monitoring_prometheus.py``.
"""

from __future__ import annotations

from importlib.resources import files


def dashboard() -> str:
    """Grafana's dashboard, as JSON that Grafana imports or is provisioned with."""
    return _text("grafana_dashboard.json")


def rules() -> str:
    """Prometheus' alerts, as YAML."""
    return _text("prometheus_rules.yaml")


def _text(name: str) -> str:
    return files("stoker.monitoring").joinpath(name).read_text(encoding="utf-8")
