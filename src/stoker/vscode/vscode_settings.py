"""The settings of VS Code that Stoker writes or reads: nothing else in Stoker names one.

Names, defaults, scopes and policies are those of VS Code 1.139.1 with Copilot Chat 0.67.0, read out
of the product. ``tests/e2e/test_product_settings.py`` fails where an installed product differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

ENDPOINT = "huggingface.customTGIEndpoint"
ANONYMOUS_ACCESS = "chat.allowAnonymousAccess"
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
FOR_ALL_PROFILES = "workbench.settings.applyToAllProfiles"
PROXY = "http.proxy"
NO_PROXY = "http.noProxy"
PROXY_SUPPORT = "http.proxySupport"

#: What a person agrees to: each is one question of ``stoker code``, but the first, which is what
#: the command is for.
Consent = Literal["endpoint", "signed-out", "copilot-harness"]
CONSENTS: tuple[Consent, ...] = get_args(Consent)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of VS Code."""

    name: str
    #: What it is for, or what it does to a chat.
    why: str
    #: VS Code's own value where nothing is written; ``None`` where it has none.
    default: object = None
    #: Where the product declares it: its window, its Copilot extension, or Stoker's extension.
    declared: Literal["workbench", "copilot", "stoker"] = "workbench"
    #: Which settings files count. ``window``: all. ``machine``: the user's and a remote machine's.
    #: ``user``: the user's (VS Code calls it a window's, and hands the agent host the user's value
    #: alone). ``application``: only the user's in the default profile.
    scope: Literal["window", "machine", "user", "application"] = "window"
    #: The policy that an organisation locks it with.
    policy: str | None = None
    #: What has to be agreed to before it is written; ``None``: it is only read.
    consent: Consent | None = None
    #: What is written. Of the endpoint, that is the address.
    value: object = None
    #: Open windows are to be reloaded: one of code-server 4.139.1 had not seen a file that was
    #: changed from outside after 30 s. Set in the window itself, it holds at once.
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
        "The chosen model writes titles, summaries and commit messages. VS Code's default asks a "
        "hosted model, which needs an account.",
        default="copilot",
        consent="signed-out",
        value="mainAgent",
    ),
    Setting(
        HARNESS_MODELS,
        "Models of extensions can be chosen in the Copilot harness too.",
        default=False,
        scope="user",
        consent="copilot-harness",
        value=True,
    ),
    Setting(
        HARNESS_SIGNED_OUT,
        "The Copilot harness opens without signing in where it has such a model.",
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
        "`false` takes agent mode away: the model can't use tools.",
        default=True,
        policy="ChatAgentMode",
    ),
    Setting(
        ORGANISATIONS,
        "Set by a policy: chat opens only for an account of one of these organisations.",
        default=[],
        policy="ChatApprovedAccountOrganizations",
    ),
    Setting(
        DEFAULT_HARNESS,
        "`true` starts new chats in the Copilot harness, which has no model of an extension in "
        "remote windows.",
        default=False,
    ),
    Setting(
        PREFERRED_HARNESS,
        "`true` takes the Copilot harness wherever the local one would be taken.",
        default=False,
        policy="ChatEditorPreferCopilotHarness",
    ),
    Setting(
        LOCAL_HARNESS,
        "`false` hides the local harness, which runs models of extensions in every window.",
        default=True,
    ),
    Setting(
        ALLOWED_EXTENSIONS,
        "An extension that it leaves out does not run.",
        default="*",
        scope="application",
        policy="AllowedExtensions",
    ),
    Setting(
        TOOL_GROUPS,
        "With more tools than this, VS Code hides them in groups that the model has to open first; "
        "small models don't.",
        default=128,
        declared="copilot",
    ),
    Setting(
        SUMMARIES,
        "`false` cuts the beginning of a long conversation off instead of summing it up.",
        default=True,
        declared="copilot",
    ),
    Setting(
        FOR_ALL_PROFILES,
        "The settings that all profiles take from the default one.",
        default=[],
        scope="application",
    ),
    Setting(PROXY, "The proxy of the editor's requests.", scope="machine"),
    Setting(NO_PROXY, "The hosts that are reached without that proxy.", scope="machine"),
    Setting(
        PROXY_SUPPORT,
        "Whether requests of extensions go through that proxy.",
        default="override",
        scope="machine",
    ),
)

SETTINGS: Mapping[str, Setting] = {each.name: each for each in (*_WRITTEN, *_READ)}


def of(consent: Consent) -> tuple[Setting, ...]:
    """The settings that are written where a person agrees to ``consent``."""
    return tuple(each for each in _WRITTEN if each.consent == consent)
