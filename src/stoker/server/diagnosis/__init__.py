"""What an engine's log and its exit code reveal about a failure."""
