"""A message, or a delta of one, in one form: text as text, and calls as a list of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Where servers put a model's thinking: vLLM before 0.12, llama.cpp and SGLang; then vLLM, Ollama
#: and OpenRouter.
REASONING = ("reasoning_content", "reasoning")
_PARTS = ("delta", "message")
#: Finish reasons in the words of other APIs: TGI, Anthropic, Gemini, Cohere, Mistral.
_FINISH_REASONS = {
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "STOP": "stop",
    "COMPLETE": "stop",
    "tool_use": "tool_calls",
    "TOOL_CALL": "tool_calls",
    "function_call": "tool_calls",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "model_length": "length",
}


def is_normal(message: Mapping[str, Any]) -> bool:
    """Whether a message or delta is in that form as far as it can be seen without its calls."""
    content = message.get("content")
    return (content is None or isinstance(content, str)) and "function_call" not in message


def normal(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message or delta with ``content`` as text, and its calls in ``tool_calls`` alone.

    Mistral's API sends content as parts, with thinking among them, and gateways to Anthropic's with
    calls among them. ``function_call`` is OpenAI's
    form of before November 2023; llama-cpp-python sends it beside the ``tool_calls``.
    """
    if is_normal(message):
        return dict(message)
    out = {name: value for name, value in message.items() if name != "function_call"}
    legacy = message.get("function_call")
    if isinstance(legacy, Mapping) and legacy and not out.get("tool_calls"):
        out["tool_calls"] = [{"type": "function", "function": legacy}]
    if isinstance(out.get("content"), list | dict):
        calls = _calls_in(out["content"])
        if calls and not out.get("tool_calls"):
            out["tool_calls"] = calls
        out["content"] = _text_in(out["content"], "text")
        thought = _text_in(message["content"], "thinking")
        if thought and not any(out.get(name) for name in REASONING):
            out["reasoning_content"] = thought
    return out


def normal_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """A whole answer or an event with its messages or deltas in that form; itself if it has it."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or all(map(_is_normal_choice, choices)):
        return answer
    return {**answer, "choices": [_normal_choice(choice) for choice in choices]}


def _is_normal_choice(choice: Any) -> bool:
    for name in _PARTS if isinstance(choice, dict) else ():
        part = choice.get(name)
        if isinstance(part, dict) and not is_normal(part):
            return False
    return True


def _normal_choice(choice: Any) -> Any:
    if _is_normal_choice(choice):
        return choice
    parts = {name: normal(choice[name]) for name in _PARTS if isinstance(choice.get(name), dict)}
    return {**choice, **parts}


def finish_reason(given: object) -> str | None:
    """The finish reason in OpenAI's words, ``None`` where there is none yet."""
    if not isinstance(given, str) or given in ("", "null"):
        return None
    return _FINISH_REASONS.get(given, given)


def _calls_in(content: Any) -> list[Any]:
    """The calls among the parts of content, in the form of Anthropic's API."""
    parts = content if isinstance(content, list) else [content]
    return [p for p in parts if isinstance(p, Mapping) and p.get("type") == "tool_use"]


def _text_in(content: Any, kind: str) -> str:
    """The text of all parts that are text, or of those that are thinking."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else [content]
    return "".join(_text_of_part(part, kind) for part in parts)


def _text_of_part(part: Any, kind: str) -> str:
    if isinstance(part, str):
        return part if kind == "text" else ""
    if not isinstance(part, Mapping):
        return ""
    if kind == "thinking":
        return _text_in(part.get("thinking") or "", "text")
    text = part.get("text")
    return text if isinstance(text, str) else ""
