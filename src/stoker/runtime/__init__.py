"""Run a plan: the supervisor, its state, readiness and what to say when it fails."""
