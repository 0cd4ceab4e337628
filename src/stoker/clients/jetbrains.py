"""AI Assistant of JetBrains' editors. No file of its settings is documented."""

from __future__ import annotations

from stoker.clients.client import Client, Connection


def _steps(to: Connection) -> tuple[str, ...]:
    key = f"the key in {to.key_variable}" if to.key_variable else "any text"
    return (
        "Open Settings | Tools | AI Assistant | Providers & API keys.",
        "Among the third-party AI providers, choose OpenAI-compatible, the URL "
        f"{to.base_url}, and {key} as the API key. Enable tool calling.",
        f"Choose the model {to.model}.",
    )


CLIENT = Client(
    "jetbrains",
    "JetBrains AI Assistant",
    "chat",
    None,
    lambda places: places.system_config / "JetBrains",
    steps=_steps,
    documented=("https://www.jetbrains.com/help/ai-assistant/use-custom-models.html", "2026-11-29"),
)
