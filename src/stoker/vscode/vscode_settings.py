"""The settings of VS Code that Stoker writes or reads. No other module names one.

Names, defaults, scopes and policies are read from VS Code 1.139.1 with Copilot Chat 0.67.0.
``tests/e2e/test_product_settings.py`` fails if an installed product differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

#: The setting with the address of the server whose models the extension offers.
ENDPOINT = "huggingface.customTGIEndpoint"
#: The setting that lets chat work without a GitHub sign-in.
ANONYMOUS_ACCESS = "chat.allowAnonymousAccess"
#: The setting that chooses which model writes titles and summaries.
UTILITY_MODEL = "chat.byokUtilityModelDefault"
HARNESS_MODELS = "chat.agentHost.byokModels.enabled"
HARNESS_SIGNED_OUT = "chat.agentHost.allowSignedOutWhenUsable"
AI_OFF = "chat.disableAIFeatures"
AGENT_MODE = "chat.agent.enabled"
ORGANISATIONS = "chat.approvedAccountOrganizations"
DEFAULT_HARNESS = "chat.defaultToCopilotHarness"
PREFERRED_HARNESS = "chat.editor.preferCopilotHarness"
LOCAL_HARNESS = "chat.editor.localAgent.enabled"
ALLOWED_EXTENSIONS = "extensions.allowed"
TOOL_GROUPS = "github.copilot.chat.virtualTools.threshold"
SUMMARIES = "github.copilot.chat.summarizeAgentConversationHistory.enabled"
COPILOT_COMPLETIONS = "github.copilot.enable"
FOR_ALL_PROFILES = "workbench.settings.applyToAllProfiles"
PROXY = "http.proxy"
NO_PROXY = "http.noProxy"
PROXY_SUPPORT = "http.proxySupport"

#: What the user agrees to. Each is one question of ``stoker code``, except the first, which is the
#: command's purpose.
Consent = Literal["endpoint", "signed-out", "copilot-harness"]
#: Every consent, in the order of the questions.
CONSENTS: tuple[Consent, ...] = get_args(Consent)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of VS Code."""

    name: str
    #: What it does to a chat.
    why: str
    #: VS Code's default; ``None`` if it has none.
    default: object = None
    #: Where the product declares it: its window, its Copilot extension, or Stoker's extension.
    declared: Literal["workbench", "copilot", "stoker"] = "workbench"
    #: Which settings files apply. ``window``: all. ``machine``: the user's and a remote machine's.
    #: ``user``: the user's (VS Code declares the scope window, but gives the agent host the user's
    #: value). ``application``: only the user's in the default profile.
    scope: Literal["window", "machine", "user", "application"] = "window"
    #: The policy with which an organisation locks it.
    policy: str | None = None
    #: What the user must agree to before it is written; ``None`` if it is only read.
    consent: Consent | None = None
    #: The value to write. For the endpoint, it is the address.
    value: object = None
    #: Whether open windows must be reloaded: 30 s after the file changed, a window of
    #: code-server 4.139.1 had not seen it. Set in the window itself, it applies at once.
    needs_reload: bool = False


_WRITTEN = (
    Setting(
        ENDPOINT,
        "The server whose models appear in the chat's model picker.",
        default="",
        declared="stoker",
        consent="endpoint",
    ),
    Setting(
        ANONYMOUS_ACCESS,
        "Without it, a message to any model opens *Sign in to use GitHub Copilot* and is not sent.",
        default=False,
        consent="signed-out",
        value=True,
        needs_reload=True,
    ),
    Setting(
        UTILITY_MODEL,
        "The chosen model writes titles, summaries and commit messages. VS Code's default uses a "
        "hosted model, which needs an account.",
        default="copilot",
        consent="signed-out",
        value="mainAgent",
    ),
    Setting(
        HARNESS_MODELS,
        "Makes models from extensions available in the Copilot harness too.",
        default=False,
        scope="user",
        consent="copilot-harness",
        value=True,
    ),
    Setting(
        HARNESS_SIGNED_OUT,
        "Opens the Copilot harness without signing in if it has such a model.",
        default=False,
        scope="application",
        consent="copilot-harness",
        value=True,
    ),
)

_READ = (
    Setting(AI_OFF, "`true` hides the chat and its model picker.", default=False),
    Setting(
        AGENT_MODE,
        "`false` disables agent mode: the model can't use tools.",
        default=True,
        policy="ChatAgentMode",
    ),
    Setting(
        ORGANISATIONS,
        "Set by a policy: chat works only with an account of one of these organisations.",
        default=[],
        policy="ChatApprovedAccountOrganizations",
    ),
    Setting(
        DEFAULT_HARNESS,
        "`true` starts new chats in the Copilot harness, which can't use models from extensions in "
        "remote windows.",
        default=False,
    ),
    Setting(
        PREFERRED_HARNESS,
        "`true` uses the Copilot harness wherever the local one would be used.",
        default=False,
        policy="ChatEditorPreferCopilotHarness",
    ),
    Setting(
        LOCAL_HARNESS,
        "`false` hides the local harness, which can use models from extensions in every window.",
        default=True,
    ),
    Setting(
        ALLOWED_EXTENSIONS,
        "An extension that it does not include does not run.",
        default="*",
        scope="application",
        policy="AllowedExtensions",
    ),
    Setting(
        TOOL_GROUPS,
        "With more tools than this, VS Code hides them in groups that the model must open first; "
        "small models don't.",
        default=128,
        declared="copilot",
    ),
    Setting(
        SUMMARIES,
        "`false` cuts off the beginning of a long conversation instead of summarizing it.",
        default=True,
        declared="copilot",
    ),
    Setting(
        COPILOT_COMPLETIONS,
        "Where Copilot's completions are on and the user is signed in, Stoker suggests nothing.",
        default={"*": True, "plaintext": False, "markdown": False, "scminput": False},
        declared="copilot",
    ),
    Setting(
        FOR_ALL_PROFILES,
        "The settings that all profiles take from the default profile.",
        default=[],
        scope="application",
    ),
    Setting(PROXY, "The proxy for the editor's requests.", scope="machine"),
    Setting(NO_PROXY, "The hosts that the editor reaches without that proxy.", scope="machine"),
    Setting(
        PROXY_SUPPORT,
        "Whether extensions' requests go through that proxy.",
        default="override",
        scope="machine",
    ),
)

#: Every setting of VS Code that Stoker writes or reads, by its name.
SETTINGS: Mapping[str, Setting] = {each.name: each for each in (*_WRITTEN, *_READ)}


def of(consent: Consent) -> tuple[Setting, ...]:
    """The settings to write if the user agrees to ``consent``."""
    return tuple(each for each in _WRITTEN if each.consent == consent)
