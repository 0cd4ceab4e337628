"""Who may use the gateway: owners, their keys, what each key allows, and the audit log."""
