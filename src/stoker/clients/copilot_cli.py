"""GitHub Copilot CLI. Its provider is set by environment variables only."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.clients.client import Client, Connection


def _variables(to: Connection) -> Mapping[str, str]:
    found = {
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_BASE_URL": to.base_url,
        "COPILOT_MODEL": to.model,
    }
    if to.max_model_len is not None:
        found["COPILOT_PROVIDER_MAX_PROMPT_TOKENS"] = str(to.max_prompt_tokens)
        found["COPILOT_PROVIDER_MAX_OUTPUT_TOKENS"] = str(to.max_output_tokens)
    if to.key_variable is not None:
        found["COPILOT_PROVIDER_API_KEY"] = f"${to.key_variable}"
    return found


CLIENT = Client(
    "copilot-cli",
    "GitHub Copilot CLI",
    "chat",
    "copilot",
    lambda places: places.folder("COPILOT_HOME", places.home / ".copilot"),
    variables=_variables,
)
