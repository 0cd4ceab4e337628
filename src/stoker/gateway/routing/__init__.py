"""Which backend answers a request, and which request waits."""
