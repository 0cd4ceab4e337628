"""Traces of requests, for an OpenTelemetry collector. ``otlp_traces`` alone imports its SDK."""
