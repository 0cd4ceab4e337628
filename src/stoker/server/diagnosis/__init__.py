"""What an engine's log and its exit code reveal about a failure."""

from stoker.server.diagnosis.log_diagnosis import ArgumentChange, Diagnosis, diagnose

__all__ = ["ArgumentChange", "Diagnosis", "diagnose"]
