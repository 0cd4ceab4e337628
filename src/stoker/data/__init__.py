"""Facts as TOML files: models, GPUs, failures. ``facts`` reads them; nothing else does."""
