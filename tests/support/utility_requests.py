"""The requests for progress messages that VS Code 1.139 sends before an agent's first turn.

In the form and length recorded there (258 prompt tokens); of its words only the marker is kept.
"""

from __future__ import annotations

from typing import Any

MARKER = "You are an expert in writing short, catchy, and encouraging progress messages"
_GUIDELINES = " ".join(f"Message {n} has two to four words and no emoji." for n in range(14))


def progress_messages(scenario: str) -> dict[str, Any]:
    """One of the two: ``generate`` or ``edit``."""
    return {
        "model": "local",
        "messages": [
            {"role": "system", "content": f"{MARKER} for a coding assistant. {_GUIDELINES}"},
            {"role": "user", "content": f'Please generate exactly 10 for "{scenario} code".'},
        ],
        "max_tokens": 100,
        "temperature": 0,
    }
