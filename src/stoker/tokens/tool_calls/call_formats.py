"""The formats in which models print tool calls, by the marker that each begins with.

To add one, write a class with ``read(text, final)`` in a module of its own and give it a row in
``MARKERS``. ``read`` looks at the text from the marker on, each time that more has come. It returns
``None`` while it needs more, ``REJECTED`` as soon as the text can't be a call, else ``FoundCall``.
``final`` is true once the answer has ended.
"""

from __future__ import annotations

from collections.abc import Callable

from stoker.tokens.tool_calls.call_candidate import (
    Reader,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.deepseek_calls import DeepSeek
from stoker.tokens.tool_calls.llama_calls import PythonTag
from stoker.tokens.tool_calls.mistral_calls import Mistral
from stoker.tokens.tool_calls.wrapped_calls import Wrapped
from stoker.tokens.tool_calls.xml_calls import XmlFunction

#: What begins each format wherever it stands, and what reads it from there.
MARKERS: dict[str, Callable[[ToolSchemas, int], Reader]] = {
    "<tool_call>": lambda o, at: Wrapped(o, at + len("<tool_call>"), "</tool_call>").read,
    "<tool_calls>": lambda o, at: Wrapped(o, at + len("<tool_calls>"), "</tool_calls>").read,
    "<|tool_call|>": lambda o, at: Wrapped(o, at + len("<|tool_call|>"), "<|/tool_call|>").read,
    "<tools>": lambda o, at: Wrapped(o, at + len("<tools>"), "</tools>").read,
    XmlFunction.OPEN: lambda o, at: Wrapped(o, at, "</tool_call>").read,
    PythonTag.OPEN: lambda o, at: PythonTag(o, at).read,
    Mistral.OPEN: lambda o, at: Mistral(o, at).read,
    DeepSeek.BEGIN_ALL: lambda o, at: DeepSeek(o, at).read,
    DeepSeek.BEGIN: lambda o, at: DeepSeek(o, at).read,
}
