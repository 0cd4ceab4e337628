"""Grafana's dashboard and Prometheus' alerts for the gateway's metrics, as files."""

from stoker.monitoring.monitoring_files import dashboard, rules

__all__ = ["dashboard", "rules"]
