"""A client's chat request in one normal form, and rewritten for templates that refuse it."""

from stoker.tokens.request_form.message_rewriting import (
    OF_RESULTS,
    REWRITINGS,
    join_contents,
    rewritten_messages,
    with_one_last_answer,
)
from stoker.tokens.request_form.request_fields import (
    normal_request,
    offers_functions,
    tools_left_out,
    without_empty_limits,
)
from stoker.tokens.request_form.system_additions import (
    SystemAddition,
    system_addition,
    system_text,
    with_moved_addition,
)
from stoker.tokens.request_form.tool_schemas import moved_schema, without_keywords
from stoker.tokens.request_form.written_parts import WrittenPart, new_at, part_key, recognised

__all__ = [
    "OF_RESULTS",
    "REWRITINGS",
    "SystemAddition",
    "WrittenPart",
    "join_contents",
    "moved_schema",
    "new_at",
    "normal_request",
    "offers_functions",
    "part_key",
    "recognised",
    "rewritten_messages",
    "system_addition",
    "system_text",
    "tools_left_out",
    "with_moved_addition",
    "with_one_last_answer",
    "without_empty_limits",
    "without_keywords",
]
