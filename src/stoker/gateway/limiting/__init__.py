"""Limits for each key and each model: what is counted, where, and what a refusal reports.

The gateway's own time limits are in ``timings.py``.
"""
