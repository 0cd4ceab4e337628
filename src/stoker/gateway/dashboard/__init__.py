"""The dashboard at ``/ui``: pages that show what runs and who uses it. They change nothing."""
