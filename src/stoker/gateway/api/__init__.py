"""What clients send and get: request validation, error format and model entries."""
