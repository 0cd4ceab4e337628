"""Turn values into terminal text, JSON and HTML pages."""
