"""Render a chat template as Hugging Face's transformers does, in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stoker.tokens.token_errors import TokenizerError


class _GenerationBlock(Extension):
    """``{% generation %}`` marks the assistant's text, for training. It renders its body."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own protocol

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML, which would change what the model reads.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def parse_template(template: str) -> nodes.Template:
    """Return the syntax tree of a chat template; raises Jinja's ``TemplateError``."""
    return _environment().parse(template)


def _compiled(source: str) -> Template:
    try:
        return _environment().from_string(source)
    except TemplateError as error:
        raise TokenizerError("The model's chat template is not valid.", str(error)) from error


class ChatTemplate:
    """A model's chat template, compiled once; with another for requests with tools, if it has."""

    def __init__(
        self,
        source: str,
        special_tokens: Mapping[str, str] | None = None,
        tool_use: str | None = None,
    ) -> None:
        """``special_tokens`` are the names that templates use: ``bos_token``, ``eos_token``.

        ``tool_use`` is the template of that name, which transformers and llama.cpp render where
        tools are offered. Raises ``TokenizerError`` where a template is not valid.
        """
        self._template = _compiled(source)
        self._with_tools = self._template if tool_use is None else _compiled(tool_use)
        self._special_tokens = dict(special_tokens or {})
        self.source = source
        self.source_for_tools = source if tool_use is None else tool_use

    def render(self, request: Mapping[str, Any]) -> str:
        """Return the prompt of a chat request.

        Raises ``TokenizerError`` where the template refuses the messages.
        """
        options = request.get("chat_template_kwargs")
        variables: dict[str, Any] = {
            **self._special_tokens,
            "tools": request.get("tools") or None,
            "documents": None,
            "add_generation_prompt": request.get("add_generation_prompt", True),
            **(options if isinstance(options, dict) else {}),
            "messages": [_for_template(message) for message in request["messages"]],
        }
        template = self._with_tools if variables["tools"] else self._template
        return self._guard(lambda: template.render(variables))

    def _guard(self, render: Callable[[], str]) -> str:
        try:
            return render()
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise TokenizerError(
                "The model's chat template refuses these messages.", str(error)
            ) from error
        except RecursionError as error:
            raise TokenizerError("A tool call's arguments nest too deeply.") from error


def _for_template(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as servers hand it to templates: text content, arguments as objects."""
    out = dict(message)
    content = message.get("content")
    if content is None:
        out["content"] = ""
    elif isinstance(content, list) and all(_is_text(part) for part in content):
        out["content"] = "\n".join(part["text"] for part in content)
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        out["tool_calls"] = [_call_for_template(call) for call in calls]
    return out


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _call_for_template(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except (ValueError, RecursionError):
        return call
    return {**call, "function": {**function, "arguments": arguments}}
