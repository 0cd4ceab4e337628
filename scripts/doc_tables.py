"""Tables that the documentation takes from the project itself, through cog."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import typer.main

from stoker import doctor, vscode
from stoker.checks import CHECKS, Use
from stoker.cli import COMMANDS, app
from stoker.data.facts import load_table, tomllib
from stoker.gateway import Gateway, config
from stoker.gateway.usage.metrics import Metrics
from stoker.tokens import budget_for
from stoker.vscode import CONSENTS, SETTINGS

ROOT = Path(__file__).resolve().parent.parent
Out = Callable[[str], None]


def commands(out: Out) -> None:
    """Every command and its one line of help."""
    out("| command | does |\n| --- | --- |")
    for name, (_, line) in COMMANDS.items():
        out(f"| [`stoker {name}`](#stoker-{name}) | {line} |")


def all_options(out: Out) -> None:
    """Every command and its subcommands under a heading of their own, with their options."""
    group: Any = typer.main.get_command(app)
    for name in COMMANDS:
        command = group.get_command(None, name)
        _options(f"stoker {name}", command, out)
        for inner, subcommand in getattr(command, "commands", {}).items():
            _options(f"stoker {name} {inner}", subcommand, out)


def _options(title: str, command: Any, out: Out) -> None:
    """One command: its help, then every argument and option with its default."""
    out(f"\n## {title}\n\n{inspect.cleandoc(command.help or '').split(chr(10) * 2)[0]}\n")
    out("| option | means | default |\n| --- | --- | --- |")
    for parameter in command.params:
        if "--help" in parameter.opts:
            continue
        argument = parameter.param_type_name == "argument"
        name = parameter.name.upper() if argument else ", ".join(parameter.opts)
        value = getattr(parameter.default, "value", parameter.default)
        default = "" if value in (None, False) else f"`{value}`"
        out(f"| `{name}` | {getattr(parameter, 'help', '') or ''} | {default} |")


def rooms(out: Out) -> None:
    """Every package of the product and the first line of its docstring."""
    out("| room | purpose |\n| --- | --- |")
    for door in sorted((ROOT / "src" / "stoker").glob("*/__init__.py")):
        purpose = ast.get_docstring(ast.parse(door.read_text(encoding="utf-8"))) or ""
        out(f"| `src/stoker/{door.parent.name}` | {purpose.splitlines()[0]} |")


def layers(out: Out) -> None:
    """The arrows between the rooms, from the contract that holds them."""
    contract = _pyproject()["tool"]["importlinter"]["contracts"][0]
    out("```text")
    for layer in contract["layers"]:
        out(re.sub(r"stoker\.|[()]", "", layer))
    out("```")


def markers(out: Out) -> None:
    """The markers of tests that need a real part."""
    for marker in _pyproject()["tool"]["pytest"]["ini_options"]["markers"]:
        name, text = marker.split(": ", 1)
        out(f"- `{name}` {text}")


def targets(out: Out) -> None:
    """The targets of the Makefile, from their comments."""
    out("| command | does |\n| --- | --- |")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name, text in re.findall(r"^([a-z-]+):.*## (.*)$", makefile, re.MULTILINE):
        out(f"| `make {name}` | {text} |")


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def extension_settings(out: Out) -> None:
    """Every setting that the VS Code extension declares."""
    package, texts = _extension()
    out("| setting | means | default |\n| --- | --- | --- |")
    for name, setting in package["contributes"]["configuration"]["properties"].items():
        means = _localised(setting["markdownDescription"], texts)
        default = "empty" if setting["default"] == "" else f"`{json.dumps(setting['default'])}`"
        out(f"| `{name}` | {means} | {default} |")


def vscode_settings(out: Out, *, written: bool) -> None:
    """The settings of VS Code that ``stoker code`` writes, or that are only read."""
    if not written:
        out("| setting | VS Code's default | what it does |\n| --- | --- | --- |")
        for each in SETTINGS.values():
            if each.consent is None:
                out(f"| `{each.name}` | {_default(each.default)} | {each.why} |")
        return
    out("| setting | VS Code's default | written | after the question | what it is for |")
    out("| --- | --- | --- | --- | --- |")
    for consent in CONSENTS:
        for each in vscode.vscode_settings.of(consent):
            value = "the address" if each.name == vscode.ENDPOINT else _default(each.value)
            asked = {"endpoint": "none", "signed-out": "1", "copilot-harness": "2"}[consent]
            row = (f"`{each.name}`", _default(each.default), value, asked, each.why)
            out(f"| {' | '.join(row)} |")


def _default(value: object) -> str:
    return "none" if value is None else "empty" if value == "" else f"`{json.dumps(value)}`"


def extension_commands(out: Out) -> None:
    """Every command that the VS Code extension declares, as the palette shows it."""
    package, texts = _extension()
    out("| command | id |\n| --- | --- |")
    for command in package["contributes"]["commands"]:
        title = _localised(command["title"], texts)
        out(f"| {command['category']}: {title} | `{command['command']}` |")


def _extension() -> tuple[dict[str, Any], dict[str, str]]:
    folder = ROOT / "extension"
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    texts = json.loads((folder / "package.nls.json").read_text(encoding="utf-8"))
    return package, texts


def _localised(text: str, texts: dict[str, str]) -> str:
    """VS Code's way: %name% stands for a text of package.nls.json."""
    return texts[text[1:-1]] if text.startswith("%") else text


def failures(out: Out) -> None:
    """Every failure that Stoker knows by its text: the symptom, what it means, what to do."""
    out("| symptom | what it means | what to do |")
    out("| --- | --- | --- |")
    for cause in load_table("failures")["cause"]:
        fix = _cell(cause["fixes"][-1])
        more = f"[more]({cause['link']})"
        out(f"| {_cell(cause['title'])} | {_cell(cause['cause'])} | {fix} {more} |")


def gateway_settings(section: type[msgspec.Struct], out: Out) -> None:
    """Every setting of one section of the gateway's file."""
    out("| setting | means | default |\n| --- | --- | --- |")
    for name, means, default in config.settings(section):
        shown = "" if default in (None, {}) else f"`{json.dumps(default)}`"
        out(f"| `{name}` | {_cell(means)} | {shown} |")


def budgets(out: Out) -> None:
    """How windows of usual sizes are divided between prompt and answer."""
    out("| window | prompt | answer |\n| ---: | ---: | ---: |")
    for window in (2048, 4096, 8192, 16384, 32768, 131072):
        budget = budget_for(window)
        out(f"| {window:,} | {budget.prompt_tokens:,} | {budget.answer_tokens:,} |")


def gateway_metrics(out: Out) -> None:
    """Every metric of the gateway, as Prometheus sees it."""
    text = Metrics().text().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    out("| metric | kind | counts |\n| --- | --- | --- |")
    for name, means in re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE):
        if not name.endswith("_created"):  # the library's own: when a counter began
            out(f"| `{name}` | {kinds[name]} | {means} |")


#: What each path of the gateway does. A path that is served and not described here, or described
#: and not served, is an error: the page is not made.
_PATHS = {
    "GET /v1/models": "The models, with context window and capabilities, and `local`.",
    "POST /v1/chat/completions": "A chat, fitted to the model; streamed or whole.",
    "POST /v1/completions": "A completion; its prompt is counted, and `max_tokens` lowered to fit.",
    "POST /v1/embeddings": "Forwarded as it is.",
    "POST /v1/responses": "Forwarded as it is, where the backend has the path.",
    "POST /v1/messages": "Forwarded as it is, where the backend has the path.",
    "POST /infill": "Fill-in-the-middle, forwarded as it is, where the backend has the path.",
    "POST /tokenize": "The exact number of tokens of `prompt` (a text or a list of texts), or of "
    "`messages` with `tools`.",
    "POST /fit": "What the gateway would cut from a chat. Nothing reaches a backend.",
    "GET /info": "The backends, which of them are up, and how fast they read.",
    "GET /health": "Whether the gateway runs. Needs no key.",
    "GET /ready": "Whether a backend can answer. Needs no key.",
    "GET /metrics": "[Metrics](metrics.md) for Prometheus.",
}


def http_paths(out: Out) -> None:
    """Every path of the gateway. Raises ``ValueError`` where ``_PATHS`` and the routes differ."""
    routes = Gateway().app().router.routes()
    served = {
        f"{r.method} {r.resource.canonical}" for r in routes if r.method != "HEAD" and r.resource
    }
    if served != _PATHS.keys():
        raise ValueError(f"described and served paths differ: {sorted(served ^ _PATHS.keys())}")
    out("| path | does |\n| --- | --- |")
    for path, does in _PATHS.items():
        out(f"| `{path}` | {does} |")


def checks(out: Out) -> None:
    """Every check by its group: what it promises, why, and what does not work without it."""
    group = ""
    for check in CHECKS:
        if check.group != group:
            group = check.group
            out(f"\n## {group}\n")
            out("| check | promise | why | needed for |\n| --- | --- | --- | --- |")
        needed = ", ".join(use.value for use in Use if use in check.needed_for)
        out(f"| `{check.id}` | {_cell(check.promise)} | {_cell(check.why)} | {needed} |")


def doctor_links(out: Out) -> None:
    """Every link of the chain that the doctor looks at."""
    out("| link | is |\n| --- | --- |")
    for link in doctor.links():
        out(f"| [{link.title}](#{link.id}) | {_cell(link.means)} |")


def doctor_findings(out: Out) -> None:
    """Every finding, under its link: how bad it is, its message, and what to do."""
    for link in doctor.links():
        out(f'\n<a id="{link.id}"></a>\n\n## {link.title}\n')
        out("| finding | state | message | what to do |\n| --- | --- | --- | --- |")
        for kind in doctor.kinds().values():
            if kind.link == link.id:
                fix = _cell(kind.fix) + (" `--fix` does it." if kind.safe_fix else "")
                message = _cell(f"{kind.what} {kind.why}".strip())
                out(f"| `{kind.id}` | {kind.state} | {_shown(message)} | {_shown(fix)} |")


def _shown(text: str) -> str:
    """Places for values as they are usually written: <port>."""
    return re.sub(r"\{(\w+)[^}]*\}", r"&lt;\1&gt;", text)


_RESULTS = ROOT / "docs" / "data" / "check_results.json"
#: One sentence for each failure, written by the person who repeated it by hand.
_EXPLAINED = ROOT / "docs" / "data" / "check_failures.toml"
_SHOWN = {"pass": "pass", "fail": "**fail**", "not supported": "no", "skipped": ""}


def checked_endpoints(out: Out) -> None:
    """The endpoints that were checked, and what each can be used for."""
    uses = [use.value for use in Use]
    out("| endpoint | model | context | checked | " + " | ".join(uses) + " |")
    out("| --- | --- | --- | --- |" + " --- |" * len(uses))
    for name, column in _results().items():
        window = f"{column['window_tokens']:,}" if column["window_tokens"] else "unknown"
        verdicts = " | ".join(column["verdicts"][use] for use in uses)
        out(f"| {name} | {column['model']} | {window} | {column['date']} | {verdicts} |")


def check_matrix(out: Out) -> None:
    """Every check against every endpoint that was checked."""
    results = _results()
    out("| check | " + " | ".join(results) + " |\n| --- |" + " --- |" * len(results))
    for check in CHECKS:
        cells = (column["checks"].get(check.id, {}) for column in results.values())
        shown = " | ".join(_SHOWN[cell.get("result", "skipped")] for cell in cells)
        out(f"| `{check.id}` | {shown} |")


def check_failures(out: Out) -> None:
    """What was seen where a check failed, and what is behind it.

    Raises ``ValueError`` where a failure has no explanation, or an explanation no failure: each
    is to be looked at by a person before it is published.
    """
    explained = tomllib.loads(_EXPLAINED.read_text(encoding="utf-8"))
    for name, column in _results().items():
        failed = {i: r["said"] for i, r in column["checks"].items() if r["result"] == "fail"}
        why = explained.get(name, {})
        if failed.keys() != why.keys():
            differ = ", ".join(sorted(failed.keys() ^ why.keys()))
            raise ValueError(f"{_EXPLAINED.name} and the failures of {name!r} differ: {differ}")
        out(f"\n**{name}**{': nothing failed.' if not failed else ''}\n")
        for check, said in failed.items():
            out(f"- `{check}`: {why[check]} *Seen:* {_as_text(said)}")


def _results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_RESULTS.read_text(encoding="utf-8"))
    return found


def _as_text(answer: str) -> str:
    """A server's answer, escaped so that none of it is read as Markdown or HTML."""
    return re.sub(r"([\\`*_<>\[\]{}|])", r"\\\1", answer)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
