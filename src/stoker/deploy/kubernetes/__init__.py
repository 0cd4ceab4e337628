"""A site on Kubernetes: objects as values, written as YAML or as a chart."""
