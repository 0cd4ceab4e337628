"""All checks in the order in which they run; a module for each topic."""

from stoker.checks.suite import (
    chat,
    completions,
    concurrency,
    connectivity,
    error_answers,
    max_tokens,
    models_endpoint,
    reasoning,
    sampling,
    streams,
    structured_output,
    tool_calling,
    usage,
    vision,
)

#: Every check, in the order in which they run.
CHECKS = (
    *connectivity.table.checks,
    *models_endpoint.table.checks,
    *chat.table.checks,
    *streams.table.checks,
    *max_tokens.table.checks,
    *usage.table.checks,
    *tool_calling.table.checks,
    *structured_output.table.checks,
    *reasoning.table.checks,
    *vision.table.checks,
    *completions.completions.checks,
    *completions.embeddings.checks,
    *sampling.table.checks,
    *concurrency.table.checks,
    *error_answers.table.checks,
)

__all__ = ["CHECKS"]
