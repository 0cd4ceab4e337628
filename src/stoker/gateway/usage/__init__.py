"""What is counted about requests."""
