"""The first request of an agent: 40 tools, as long as those that VS Code's agent mode sends.

Measured on 2026-11-23: VS Code sends 39 tools with 53 KB of compact JSON, whatever the context.
These tools are made up, so that the check needs no file of another program. Their number, length
and kinds of parameters are those of VS Code's.
"""

from __future__ import annotations

from typing import Any

_VERBS = ("read", "search", "edit", "create", "list", "run", "show", "check", "rename", "open")
_THINGS = ("file", "terminal", "symbol", "test")
_ADVICE = (
    "Use this when the user asks for the {thing} by name or when an earlier result names it. ",
    "Do not use it to guess: where it is not clear which {thing} is meant, list them first. ",
    "The result is plain text. A long result is cut in the middle, and says how much was left "
    "out; ask again with a smaller range instead of asking for everything. ",
    "Paths are absolute, with forward slashes, also on Windows. Never make a path up. ",
    "Several independent calls may be made in one turn; calls that need the result of another "
    "must wait for it. ",
    "If the call fails, read the message and say what you will do differently before you try "
    "again. After three failures ask the user. ",
    "Never print the {thing} as a code block where this tool can {verb} it instead. ",
)


def agent_tools() -> list[dict[str, Any]]:
    """40 tools, about 54 KB of compact JSON."""
    return [_tool(verb, thing) for thing in _THINGS for verb in _VERBS]


def agent_system() -> str:
    """A short system prompt: the tools are what is tested."""
    return (
        "You are a programming assistant in an editor. Answer briefly. Use a tool only where "
        "the question can't be answered without one."
    )


def _tool(verb: str, thing: str) -> dict[str, Any]:
    advice = "".join(_ADVICE).format(verb=verb, thing=thing)
    fields = {
        "path": {"type": "string", "description": f"The absolute path of the {thing} to {verb}."},
        "startLine": {"type": "number", "description": "The first line, counted from 1."},
        "endLine": {"type": "number", "description": "The last line, which is included."},
        "mode": {"type": "string", "enum": ["quick", "thorough"], "description": "How to do it."},
        "explanation": {"type": "string", "description": f"One sentence: why to {verb} it now."},
    }
    return {
        "type": "function",
        "function": {
            "name": f"{verb}_{thing}",
            "description": f"{verb.capitalize()} a {thing} of the workspace. {advice}",
            "parameters": {
                "type": "object",
                "properties": fields,
                "required": ["path", "explanation"],
            },
        },
    }
