"""Tool calls for models whose server has none: offer them in the prompt, read them in the text."""

from stoker.tokens.tools.parse import Event, TextPart, ToolCall, ToolCallParser

__all__ = ["Event", "TextPart", "ToolCall", "ToolCallParser"]
