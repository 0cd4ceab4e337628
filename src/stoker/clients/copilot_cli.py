"""GitHub Copilot CLI. Its provider is set by environment variables only."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.clients.client import Client, Connection

#: The smallest window for which its prompts get a limit. Measured with 1.0.102, whose instructions
#: and tools take 11,100 tokens: with the limit of 8,192 it sends nothing, with that of 16,384 it
#: summarises after the first result of a tool, with that of 32,768 it does a task of eight files.
_LEAST_MODEL_LEN = 32_768


def _variables(to: Connection) -> Mapping[str, str]:
    found = {
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_BASE_URL": to.base_url,
        "COPILOT_MODEL": to.model,
    }
    if to.max_model_len is not None:
        found["COPILOT_PROVIDER_MAX_OUTPUT_TOKENS"] = str(to.max_output_tokens)
        if to.max_model_len >= _LEAST_MODEL_LEN:
            found["COPILOT_PROVIDER_MAX_PROMPT_TOKENS"] = str(to.max_prompt_tokens)
    if to.key_variable is not None:
        found["COPILOT_PROVIDER_API_KEY"] = f"${to.key_variable}"
    return found


def _steps(to: Connection) -> tuple[str, ...]:
    if to.max_model_len is None or to.max_model_len >= _LEAST_MODEL_LEN:
        return ()
    return (
        f"Copilot CLI can't work with a window below {_LEAST_MODEL_LEN:,} tokens, so its prompts "
        "get no limit. Stoker's gateway shortens its requests to fit.",
    )


CLIENT = Client(
    "copilot-cli",
    "GitHub Copilot CLI",
    "chat",
    "copilot",
    lambda places: places.folder("COPILOT_HOME", places.home / ".copilot"),
    variables=_variables,
    steps=_steps,
)
