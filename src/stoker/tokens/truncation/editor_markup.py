"""Separate the user's request from what an editor wraps around it: context and summaries."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

_OPENING = re.compile(r"<([A-Za-z][\w-]*)(?: [^<>]*)?>")
_CLOSING = re.compile(r"</([A-Za-z][\w-]*)>")
_REQUESTS = frozenset(
    (
        *("userRequest", "user_request", "user_query", "task", "user_message", "question"),
        "feedback",
    )
)
#: What VS Code (1.139) and other editors put in place of a conversation that grew too long. The
#: headings are those that VS Code's own instructions for the summary ask for.
_SUMMARIES = frozenset(("conversation-summary", "summary"))
_SUMMARY_HEADING = re.compile(
    r"^[ \t]*(?:#+|\*\*|\d+\.)[ \t*]*([^\n]{3,60}?)[ \t*:]*$", re.MULTILINE
)
_OPEN_WORK = re.compile(r"active work|current|continu|next|pending|latest|open", re.IGNORECASE)
_SUMMARY_CHARS = 1500
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_QUERY_CHARS = 4000


@dataclass(frozen=True, slots=True)
class TaggedBlock:
    """A part of a text from an opening tag to the next tag that closes it."""

    name: str
    start: int
    end: int
    #: What stands between the tags.
    inner: str


def tagged_blocks(text: str, names: Collection[str] | None = None) -> list[TaggedBlock]:
    """Return the blocks of ``text``, in order; of tags called ``names`` where these are given.

    What stands inside a block is not looked at. The time is linear: an expression that looks for
    the end of each tag took minutes for 16,000 tags that nothing closes.
    """
    closings: dict[str, list[int]] = {}
    for closing in _CLOSING.finditer(text):
        closings.setdefault(closing[1], []).append(closing.start())
    found: list[TaggedBlock] = []
    end = 0
    for opening in _OPENING.finditer(text):
        name = opening[1]
        if opening.start() < end or name not in (closings if names is None else names):
            continue
        ends = closings.get(name, [])
        at = bisect_left(ends, opening.end())
        if at < len(ends):
            end = ends[at] + len(f"</{name}>")
            inner = text[opening.end() : ends[at]]
            found.append(TaggedBlock(name, opening.start(), end, inner))
    return found


def question_in(text: str) -> str:
    """Return what the user asks, without the context that editors wrap around it.

    Where an editor has put a summary in place of the conversation, that is the work which the
    summary calls open. Empty where nothing is asked.
    """
    if requests := tagged_blocks(text, _REQUESTS):
        return "\n".join(block.inner.strip() for block in requests)[-_QUERY_CHARS:]
    if summaries := tagged_blocks(text, _SUMMARIES):
        return _open_work(summaries[0].inner.strip())
    bare = " ".join(_between(text, tagged_blocks(text))).strip()
    return (_FENCE.sub(" ", bare).strip() or bare)[-_QUERY_CHARS:]


def _open_work(summary: str) -> str:
    """The parts of a summary on what is being done and comes next; its end where none is named."""
    parts = _SUMMARY_HEADING.split(summary)
    named = zip(parts[1::2], parts[2::2], strict=False)
    open_work = "\n".join(body for heading, body in named if _OPEN_WORK.search(heading))
    return (open_work.strip() or summary.strip())[-_SUMMARY_CHARS:]


def context_in(text: str) -> list[str]:
    """Return the texts that an editor has wrapped around what the user asks."""
    return [text[start:end] for start, end in context_spans(text)]


def context_spans(text: str) -> list[tuple[int, int]]:
    """Return where they begin and end, in order.

    That is all around the requests where tags mark these. Where none do, it is what stands in
    tags: files and reminders, but no summary of the conversation.
    """
    if requests := tagged_blocks(text, _REQUESTS):
        ends = [0, *(at for block in requests for at in (block.start, block.end)), len(text)]
        return list(zip(ends[::2], ends[1::2], strict=True))
    blocks = tagged_blocks(text)
    return [(block.start, block.end) for block in blocks if block.name not in _SUMMARIES]


def _between(text: str, blocks: Iterable[TaggedBlock]) -> Iterator[str]:
    """The texts before, between and after ``blocks``."""
    end = 0
    for block in blocks:
        yield text[end : block.start]
        end = block.end
    yield text[end:]
