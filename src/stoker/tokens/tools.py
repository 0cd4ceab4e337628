"""The import name that scripts outside this repository use; inside it is ``tool_calls``."""

from stoker.tokens.tool_calls import parse_answer

__all__ = ["parse_answer"]
