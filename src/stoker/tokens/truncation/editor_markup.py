"""Separate the user's request from what an editor wraps around it: context and summaries."""

from __future__ import annotations

import re

TAGGED_REQUEST = re.compile(
    r"<(userRequest|user_request|user_query|task|user_message|question|feedback)>\s*(.*?)\s*</\1>",
    re.DOTALL,
)
#: What VS Code (1.139) and other editors put in place of a conversation that grew too long. The
#: headings are those that VS Code's own instructions for the summary ask for.
_SUMMARY = re.compile(r"<(conversation-summary|summary)>\s*(.*?)\s*</\1>", re.DOTALL)
_SUMMARY_HEADING = re.compile(
    r"^[ \t]*(?:#+|\*\*|\d+\.)[ \t*]*([^\n]{3,60}?)[ \t*:]*$", re.MULTILINE
)
_OPEN_WORK = re.compile(r"active work|current|continu|next|pending|latest|open", re.IGNORECASE)
_SUMMARY_CHARS = 1500
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUERY_CHARS = 4000
TAGGED_BLOCK = re.compile(r"<([A-Za-z][\w-]*)(?: [^<>]*)?>.*?</\1>", re.DOTALL)


def question_in(text: str) -> str:
    """Return what the user asks, without the context that editors wrap around it.

    Where an editor has put a summary in place of the conversation, that is the work which the
    summary calls open. Empty where nothing is asked.
    """
    tagged = TAGGED_REQUEST.findall(text)
    if tagged:
        return "\n".join(body for _, body in tagged)[-_QUERY_CHARS:]
    summary = _SUMMARY.search(text)
    if summary:
        return _open_work(summary.group(2))
    bare = TAGGED_BLOCK.sub(" ", text).strip()
    return (_FENCE.sub(" ", bare).strip() or bare)[-_QUERY_CHARS:]


def _open_work(summary: str) -> str:
    """The parts of a summary on what is being done and comes next; its end where none is named."""
    parts = _SUMMARY_HEADING.split(summary)
    named = zip(parts[1::2], parts[2::2], strict=False)
    open_work = "\n".join(body for heading, body in named if _OPEN_WORK.search(heading))
    return (open_work.strip() or summary.strip())[-_SUMMARY_CHARS:]


def around_requests(text: str) -> list[str]:
    """Return the texts before, between and after the requests in ``text``."""
    ends = [0, *(at for match in TAGGED_REQUEST.finditer(text) for at in match.span()), len(text)]
    return [text[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True)]
