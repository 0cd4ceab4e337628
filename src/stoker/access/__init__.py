"""Who may use the gateway: owners, their keys, and what each key allows."""
