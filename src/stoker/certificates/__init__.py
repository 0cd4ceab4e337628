"""TLS: the gateway's certificate and key files, and what Stoker's own commands trust."""
