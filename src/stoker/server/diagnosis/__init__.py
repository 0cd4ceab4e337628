"""Why an engine ended: its log's root cause, or what its exit code says."""
