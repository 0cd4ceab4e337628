"""AI Assistant of JetBrains' editors. No file of its settings is documented."""

from __future__ import annotations

from stoker.clients.client import Client, Connection


def _steps(to: Connection) -> tuple[str, ...]:
    key = f"the key in {to.key_variable}" if to.key_variable else "any text"
    return (
        "Open Settings | Tools | AI Assistant | Providers & API keys.",
        f"Choose the provider OpenAI-compatible, the URL {to.base_url}, and {key} as the API key.",
        f"Choose the model {to.model}.",
    )


CLIENT = Client(
    "jetbrains",
    "JetBrains AI Assistant",
    "chat",
    None,
    lambda places: places.system_config / "JetBrains",
    steps=_steps,
)
