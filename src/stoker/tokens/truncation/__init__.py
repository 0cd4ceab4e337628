"""Make a request fit its budget: choose tools, then shorten and drop history."""
