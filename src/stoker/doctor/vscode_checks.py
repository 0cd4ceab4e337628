"""The links in VS Code: editor, extension, endpoint setting, and the settings of its chat."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stoker import vscode
from stoker.data.facts import load_table
from stoker.doctor.finding import (
    Finding,
    Public,
    Value,
    address,
    editor_name,
    found,
    limit,
    model_name,
    numbers,
    version,
)
from stoker.doctor.server_checks import targets
from stoker.doctor.snapshot import EndpointReading, Readings
from stoker.network_addresses import same_server
from stoker.vscode import Look, SettingsFile
from stoker.vscode import vscode_settings as settings

_CREDENTIALS = re.compile(r"^\s*(\w+://)?[^/@\s]+@")
#: Settings that hinder a chat: name, the value that does, and the finding.
_WRONG = (
    (settings.AI_OFF, True, "chat.off"),
    (settings.AGENT_MODE, False, "chat.agent-off"),
    (settings.LOCAL_HARNESS, False, "chat.local-hidden"),
)
_HARNESS_FIRST = (settings.DEFAULT_HARNESS, settings.PREFERRED_HARNESS)


def concerned(r: Readings) -> list[Look]:
    """The editors that should use Stoker.

    Those with the extension or the setting, and those connected before; else the first one found.
    """
    return [look for look in r.editors if _uses(r, look)] or list(r.editors[:1])


def _uses(r: Readings, look: Look) -> bool:
    """Whether this editor uses Stoker. Workspace settings don't count: all editors read them."""
    own = [file for file in look.settings if file.scope != "workspace"]
    has_setting = any(vscode.ENDPOINT in file.values for file in own)
    connected = str(look.editor.settings) in r.connected
    return look.versions.extension is not None or has_setting or connected


def editor(r: Readings) -> Iterator[Finding]:
    """Whether there is an editor that the extension supports."""
    if not r.editors:
        yield found("editor.gone" if r.connected else "editor.none")
    for look in concerned(r):
        name, runs = editor_name(look), look.versions.vscode
        if runs is None:
            yield found("editor.silent", editor=name)
        elif numbers(runs) < numbers(r.shipped.least_vscode):
            needed = version(r.shipped.least_vscode)
            yield found("editor.old", editor=name, version=version(runs), needed=needed)
        else:
            yield found("editor.ok", editor=name, version=version(runs))
        if look.editor.profile is not None:
            yield found("editor.profile", editor=name, profile=look.editor.profile)


def extension(r: Readings) -> Iterator[Finding]:
    """Whether the editor has the extension, at least in the version that Stoker ships."""
    if not r.editors:
        yield found("extension.none")
    for look in concerned(r):
        name, has = editor_name(look), look.versions.extension
        if not look.versions.listed:
            yield found("extension.unknown", editor=name)
        elif _is_forbidden(look):
            yield found("extension.forbidden", editor=name)
        elif has is None:
            yield found("extension.missing", editor=name).of(look.editor.name)
        elif numbers(has) < numbers(r.shipped.version):
            shipped = version(r.shipped.version)
            older = found("extension.older", editor=name, version=version(has), shipped=shipped)
            yield older.of(look.editor.name)
        else:
            yield found("extension.ok", editor=name, version=version(has))


def _is_forbidden(look: Look) -> bool:
    """Whether the list of allowed extensions excludes Stoker's, by id, publisher or ``*``."""
    allowed = look.value(settings.ALLOWED_EXTENSIONS)
    if not isinstance(allowed, dict):
        return False
    rules = {str(key).lower(): rule for key, rule in allowed.items()}
    publisher = vscode.EXTENSION_ID.partition(".")[0]
    names = (vscode.EXTENSION_ID, publisher, "*")
    return not next((rules[name] for name in names if name in rules), False)


def setting(r: Readings) -> Iterator[Finding]:
    """Whether the editor's setting has the right address, and which settings file sets it."""
    if not r.editors:
        yield found("setting.none")
    for look in concerned(r):
        for file in look.settings:
            yield from _of_file(look, file)
        yield from _effective(r, look)


def _of_file(look: Look, file: SettingsFile) -> Iterator[Finding]:
    name = editor_name(look)
    if file.problem is not None:
        yield found("setting.unreadable", editor=name, file=str(file.path), problem=file.problem)
    value = file.values.get(vscode.ENDPOINT)
    if isinstance(value, str) and _CREDENTIALS.match(value):
        yield found("setting.secret", editor=name, file=str(file.path))


def _effective(r: Readings, look: Look) -> Iterator[Finding]:
    name, used = editor_name(look), look.effective(vscode.ENDPOINT)
    if used is None or used[0] == "":
        if not any(file.problem for file in look.settings):
            yield found("setting.missing", editor=name).of(look.editor.name)
        return
    value, file = used
    there = r.endpoints.get(value) if isinstance(value, str) else None
    if there is None or there.failure == "invalid":
        yield found("setting.invalid", editor=name, file=str(file.path))
        return
    beneath = look.hidden(vscode.ENDPOINT)
    below = r.endpoints.get(beneath[0]) if beneath and isinstance(beneath[0], str) else None
    if below is not None and below.url != there.url:
        yield _overridden(name, there, file, below)
    else:
        yield _alone(r, look, there, file)


def _overridden(
    name: Value, there: EndpointReading, file: SettingsFile, below: EndpointReading
) -> Finding:
    kind = "setting.overridden" if below.works and not there.works else "setting.hides"
    return found(
        kind,
        editor=name,
        scope=Public(file.scope),
        address=address(there.url),
        hidden=address(below.url),
        file=str(file.path),
    )


def _alone(r: Readings, look: Look, there: EndpointReading, file: SettingsFile) -> Finding:
    values: dict[str, Value] = {
        "editor": editor_name(look),
        "address": address(there.url),
        "scope": Public(file.scope),
    }
    wanted = _wanted(r)
    if wanted is None or same_server(wanted.url, there.url):
        return found("setting.ok", **values)
    values["wanted"] = address(wanted.url)
    if there.works:
        return found("setting.elsewhere", **values)
    if file.path != look.editor.settings:
        return found("setting.wrong-here", file=str(file.path), **values)
    return found("setting.wrong", **values).of(look.editor.name)


def _wanted(r: Readings) -> EndpointReading | None:
    """The server that editors should use: the one asked about, else the deployment."""
    if r.asked is not None:
        return r.endpoints[r.asked]
    return r.endpoints[r.deployment.spec.endpoint] if r.deployment and r.running else None


def old_settings(r: Readings) -> Iterator[Finding]:
    """Settings that nothing reads any more."""
    left = [
        (look, file, entry)
        for look in concerned(r)
        for file in look.settings
        for entry in load_table("doctor")["old_setting"]
        if entry["name"] in file.values
    ]
    if not left:
        yield found("old-settings.ok" if r.editors else "old-settings.none")
    for look, file, entry in left:
        yield found(
            "old-settings.found",
            editor=editor_name(look),
            name=Public(entry["name"]),
            instead=Public(entry["instead"]),
            file=str(file.path),
        )


def chat(r: Readings) -> Iterator[Finding]:
    """VS Code's settings that decide whether chat can use the model, and its context window."""
    if not r.editors:
        yield found("chat.none")
    for look in concerned(r):
        wrong = list(_chat_settings(r, look))
        yield from wrong or [found("chat.ok", editor=editor_name(look))]
    for there in targets(r):
        yield from _context(r, there)


def _chat_settings(r: Readings, look: Look) -> Iterator[Finding]:
    yield from _account(look)
    yield from _switches(look)
    yield from _harness(look)
    name = editor_name(look)
    if look.value(settings.UTILITY_MODEL) == settings.SETTINGS[settings.UTILITY_MODEL].default:
        yield found("chat.utility", editor=name).of(look.editor.name)
    threshold, tools = look.value(settings.TOOL_GROUPS), int(limit("agent_tools"))
    used = look.effective(settings.TOOL_GROUPS)
    # 0 switches the groups off.
    if used and isinstance(threshold, int) and 0 < threshold < tools:
        file = str(used[1].path)
        yield found("chat.tool-groups", editor=name, file=file, threshold=threshold, tools=tools)
    summaries, shortest = look.effective(settings.SUMMARIES), _shortest(r)
    if summaries and summaries[0] is False and shortest:
        yield found("chat.history", editor=name, file=str(summaries[1].path), context=shortest)


def _account(look: Look) -> Iterator[Finding]:
    """Whether a message opens a sign-in instead of reaching the model."""
    name, used = editor_name(look), look.effective(settings.ANONYMOUS_ACCESS)
    organisations = look.effective(settings.ORGANISATIONS)
    if organisations and organisations[1].scope == "policy" and organisations[0]:
        yield found("chat.organisations", editor=name, file=str(organisations[1].path))
    if (used and used[0] is True) or any(file.problem for file in look.settings):
        return
    if look.signed_in:
        yield found("chat.account", editor=name).of(look.editor.name)
    elif used is not None and used[1].path != look.editor.settings:
        yield found("chat.sign-in-here", editor=name, file=str(used[1].path))
    else:
        yield found("chat.sign-in", editor=name).of(look.editor.name)


def _switches(look: Look) -> Iterator[Finding]:
    """What is switched off, by the user or by a policy, which no settings file overrides."""
    for key, wrong, kind in _WRONG:
        used = look.effective(key)
        if used is None or used[0] is not wrong:
            continue
        values = {"editor": editor_name(look), "file": str(used[1].path)}
        if used[1].scope == "policy":
            yield found("chat.policy", setting=Public(key), **values)
        else:
            yield found(kind, **values)


def _harness(look: Look) -> Iterator[Finding]:
    """Whether new chats start in a Copilot harness that can't use models from extensions."""
    name = editor_name(look)
    for key in _HARNESS_FIRST:
        used = look.effective(key)
        if used is None or used[0] is not True:
            continue
        values: dict[str, Value] = {"setting": Public(key), "file": str(used[1].path)}
        if look.editor.in_browser:
            yield found("chat.harness-remote", editor=name, **values)
        elif not _harness_is_open(look):
            yield found("chat.harness-closed", editor=name, **values).of(look.editor.name)


def _harness_is_open(look: Look) -> bool:
    return all(look.value(s.name) == s.value for s in settings.of("copilot-harness"))


def _shortest(r: Readings) -> int | None:
    """The shortest context window in tokens, where one is too short for agent mode."""
    lengths = [m.max_model_len for there in targets(r) for m in there.models or ()]
    short = [n for n in lengths if n is not None and n < limit("agent_context_tokens")]
    return min(short, default=None)


def _context(r: Readings, there: EndpointReading) -> Iterator[Finding]:
    needed, longest = int(limit("agent_context_tokens")), _longest(r, there)
    for model in there.models or ():
        if model.max_model_len is None or model.max_model_len >= needed:
            continue
        name, context = model_name(model.id), model.max_model_len
        if not there.stoker_version:
            yield found("chat.context-refused", model=name, context=context, needed=needed)
        elif longest is not None and longest < needed:
            yield found(
                "chat.context-of-model", model=name, context=context, longest=longest, needed=needed
            )
        else:
            yield found("chat.context-cut", model=name, context=context, needed=needed)


def _longest(r: Readings, there: EndpointReading) -> int | None:
    """The longest context window of the model at ``there``, if that is the deployment's."""
    if r.deployment is None or not same_server(there.url, r.deployment.spec.endpoint):
        return None
    return r.deployment.spec.plan.model.max_context_tokens
