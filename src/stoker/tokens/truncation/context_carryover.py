"""The context that an editor writes into the first message only, kept when that is dropped."""

from __future__ import annotations

from stoker.tokens.chat_messages import Message, text_of
from stoker.tokens.truncation.conversation import Conversation
from stoker.tokens.truncation.editor_markup import context_in, tagged_blocks
from stoker.tokens.truncation.message_shortening import middle_out

#: What is kept of the first message's context: VS Code's system, folders and memory are 1,100
#: characters for a small workspace, and its list of files grows to some thousands.
_MOST_CONTEXT_CHARS = 2000


def standing_context(conversation: Conversation) -> str:
    """Return what editors write into the first message of a chat and not again.

    VS Code names the system and the folders of the workspace there: a model that has lost them
    no longer knows where the files are. These are the tagged blocks of the first user message
    that the second one lacks, without the request. Empty where there is no second one.
    """
    users = [u.start for u in conversation.units if u.role == "user"][:2]
    if len(users) < 2:
        return ""
    first, second = (text_of(conversation.messages[at].get("content")) for at in users)
    around = "".join(context_in(first))
    blocks = (b for b in tagged_blocks(around) if f"<{b.name}" not in second)
    missing = "\n".join(around[b.start : b.end] for b in blocks)
    return middle_out(missing, _MOST_CONTEXT_CHARS)


def with_context(message: Message, context: str) -> Message:
    """Return a user's message with ``context`` before its content."""
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [{"type": "text", "text": context}, *content]}
    return {**message, "content": f"{context}\n{content or ''}"}
