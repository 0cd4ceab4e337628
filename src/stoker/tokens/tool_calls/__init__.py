"""Tool calls for models whose server has none: offer them in the prompt, read them in the text."""

from stoker.tokens.tool_calls.answer_events import (
    Event,
    TextPart,
    ThoughtPart,
    ToolCall,
    new_call_id,
)
from stoker.tokens.tool_calls.call_validation import ARGUMENT_KEYS, ToolSchemas
from stoker.tokens.tool_calls.prompt_tools import demanded_call, emulate, template_has_tools
from stoker.tokens.tool_calls.stream_parser import ToolCallParser, parse_answer
from stoker.tokens.tool_calls.strict_json import is_cut_json, parse_json

__all__ = [
    "ARGUMENT_KEYS",
    "Event",
    "TextPart",
    "ThoughtPart",
    "ToolCall",
    "ToolCallParser",
    "ToolSchemas",
    "demanded_call",
    "emulate",
    "is_cut_json",
    "new_call_id",
    "parse_answer",
    "parse_json",
    "template_has_tools",
]
