"""How much longer a prompt gets by messages at its end, at most, where the rest is known.

The engine has reported what a conversation's prompt was; the next one is that and what was added.
What was added is bounded by its bytes. The prompt that is known is rendered again, though, and a
template may look at the messages after it. Those that do (Qwen's, DeepSeek's, GLM's, Kimi's,
gpt-oss's) leave thinking out of turns that are no longer the last, which makes it shorter. Three
ways make it longer, all in Mistral's templates, and then there is no bound:

- The system prompt stands in the last message if that is the user's, and nowhere otherwise. So
  both prompts must end with the same role.
- The tools stand before the last message of the user. So there must be such a message in the known
  prompt, if there is one in what was added; the same is asked of every role.
- They stand before every message that equals the last one of the user. So none that was added may
  equal another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from stoker.tokens.counting.token_upper_bound import Overheads, message_bound

#: With these the client replaces the template, of which then nothing is known.
_OTHER_TEMPLATE = ("chat_template", "documents")
#: Where the known prompt ends, and where a template moved a part of it, tokens are merged
#: otherwise than before. Each such place may cost the tokens of a word; dates that changed cost
#: fewer.
_SEAM_TOKENS = 64
#: The keys of a message that ``message_bound`` counts.
_COUNTED = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning", "reasoning_content"}
)

_Message = Mapping[str, Any]


def growth_bound(
    request: Mapping[str, Any], known_messages: int, overheads: Overheads
) -> int | None:
    """Return how many tokens ``request`` has at most beyond the prompt of its first messages.

    That prompt must have been rendered with the same tools and template variables. ``None`` where
    nothing is sure: where what was added has images or fields of an unknown kind, where the
    template is the client's, or where the template may render the known messages otherwise.
    """
    messages = request["messages"]
    known, added = messages[:known_messages], messages[known_messages:]
    if any(request.get(name) for name in _OTHER_TEMPLATE) or not _grows_at_the_end(known, added):
        return None
    if request.get("tools") and _repeats_a_question(known, added):
        return None
    total = _SEAM_TOKENS
    # A variable may be written into every message.
    variables = len(orjson.dumps(request.get("chat_template_kwargs") or ""))
    for message in added:
        bound = message_bound(message, overheads) if _is_counted(message) else None
        if bound is None:
            return None
        total += bound + variables
    return total


def _grows_at_the_end(known: Sequence[_Message], added: Sequence[_Message]) -> bool:
    """Whether the longer conversation has the roles of the known one, and ends as it does."""
    if not added:
        return True
    if not known or added[-1].get("role") != known[-1].get("role"):
        return False
    new_roles = {message.get("role") for message in added}
    return all(any(m.get("role") == role for m in reversed(known)) for role in new_roles)


def _repeats_a_question(known: Sequence[_Message], added: Sequence[_Message]) -> bool:
    questions = [message for message in added if message.get("role") == "user"]
    if not questions:
        return False
    return any(questions.count(each) > 1 or each in known for each in questions)


def _is_counted(message: _Message) -> bool:
    """Whether a bound by bytes sees all that a template may write of a message."""
    if any(value for key, value in message.items() if key not in _COUNTED):
        return False
    calls = message.get("tool_calls") or ()
    return all(isinstance(call, dict) and isinstance(call.get("function"), dict) for call in calls)
