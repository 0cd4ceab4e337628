"""How each inference server is launched and spoken to: one module an engine."""
