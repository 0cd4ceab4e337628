"""One module per command: read the flags, call the application, hand the result to ``render``."""
