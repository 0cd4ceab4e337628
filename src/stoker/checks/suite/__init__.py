"""Every check, one module a group. The order is the order in which they run."""

from stoker.checks.suite import (
    budgets,
    chat,
    completions,
    counts,
    errors,
    forms,
    load,
    models,
    reach,
    sampling,
    streams,
    tools,
)

CHECKS = (
    *reach.table.checks,
    *models.table.checks,
    *chat.table.checks,
    *streams.table.checks,
    *budgets.table.checks,
    *counts.table.checks,
    *tools.table.checks,
    *forms.structured.checks,
    *forms.reasoning.checks,
    *forms.images.checks,
    *completions.completions.checks,
    *completions.embeddings.checks,
    *sampling.table.checks,
    *load.table.checks,
    *errors.table.checks,
)

__all__ = ["CHECKS"]
