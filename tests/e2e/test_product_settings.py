"""The settings of VS Code that Stoker writes or reads match the installed product.

If a later VS Code renames one, or changes a default, a scope or a policy, the tests here fail
before a user's chat does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stoker.vscode import SETTINGS, Setting

pytestmark = pytest.mark.vscode

#: VS Code's ConfigurationScope, by its number in the product. The default is a window's.
SCOPES = {"1": "application", "2": "machine", "4": "window"}
#: The agent host reads the user's value only, whatever scope is declared.
DECLARED = {"user": "window"}


@pytest.fixture(scope="session")
def product(code_server: Path) -> Path:
    return code_server / "code-server/node_modules/code-server/lib/vscode"


@pytest.fixture(scope="session")
def workbench(product: Path) -> str:
    return (product / "out/vs/code/browser/workbench/workbench.js").read_text(errors="replace")


@pytest.fixture(scope="session")
def copilot(product: Path) -> dict[str, Any]:
    manifest = json.loads((product / "extensions/copilot/package.json").read_text())
    parts = manifest["contributes"]["configuration"]
    return {name: found for part in parts for name, found in part["properties"].items()}


def declaration(workbench: str, name: str) -> str:
    """The text between the braces of the setting's declaration; a constant may hold its name."""
    constants = {_name_before(workbench, at) for at in _places(workbench, f'="{name}"')}
    keys = [f'"{name}"', *(f"[{constant}]" for constant in sorted(constants))]
    for key in keys:
        for at in _places(workbench, f"{key}:{{"):
            body = _braces(workbench, at + len(key) + 2)
            if re.search(r"\b(type|default|description|markdownDescription):", body):
                return body
    raise AssertionError(f"{name} is not declared in the installed product")


def _places(text: str, part: str) -> Iterator[int]:
    """The offsets of ``part``. The product is one line of 19 MB, where a pattern takes seconds."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _name_before(text: str, at: int) -> str:
    name = re.search(r"[\w$]+$", text[max(0, at - 20) : at])
    return name[0] if name else ""


def _braces(text: str, at: int) -> str:
    """``text`` from ``at`` to the brace that closes what was opened just before."""
    depth, end = 1, at
    while depth:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return text[at : end - 1]


def default_of(body: str) -> object:
    """The default of a declaration in minified JavaScript; ``None`` where it has none."""
    found = re.search(r'(?:^|,)default:(!0|!1|\[\]|"[^"]*"|\d+)(?=,|$)', body)
    if found is None:
        return None
    return json.loads({"!0": "true", "!1": "false"}.get(found[1], found[1]))


IN_WORKBENCH = [each for each in SETTINGS.values() if each.declared == "workbench"]


@pytest.mark.parametrize("setting", IN_WORKBENCH, ids=lambda s: s.name)
def test_the_product_declares_the_setting_with_this_default(
    workbench: str, setting: Setting
) -> None:
    assert default_of(declaration(workbench, setting.name)) == setting.default


# The settings http.* inherit the scope of their group.
@pytest.mark.parametrize(
    "setting", [s for s in IN_WORKBENCH if s.scope != "machine"], ids=lambda s: s.name
)
def test_it_counts_where_stoker_thinks_and_no_other_policy_locks_it(
    workbench: str, setting: Setting
) -> None:
    body = declaration(workbench, setting.name)
    scope = re.search(r"(?:^|,)scope:(\d)", body)
    assert SCOPES[scope[1] if scope else "4"] == DECLARED.get(setting.scope, setting.scope)
    policy = re.search(r'(?:^|,)policy:\{name:"(\w+)"', body)
    assert (policy[1] if policy else None) == setting.policy


@pytest.mark.parametrize(
    "setting", [s for s in SETTINGS.values() if s.declared == "copilot"], ids=lambda s: s.name
)
def test_the_copilot_extension_declares_it_with_this_default(
    copilot: dict[str, Any], setting: Setting
) -> None:
    assert copilot[setting.name]["default"] == setting.default


@pytest.mark.parametrize(
    "setting", [s for s in IN_WORKBENCH if s.value is not None], ids=lambda s: s.name
)
def test_what_is_written_is_a_value_that_the_product_knows(
    workbench: str, setting: Setting
) -> None:
    body = declaration(workbench, setting.name)
    if isinstance(setting.value, bool):
        assert 'type:"boolean"' in body
    else:
        assert f'"{setting.value}"' in body


def test_the_agent_host_reads_the_users_settings_alone(workbench: str) -> None:
    """So settings for it are never written to a folder's settings."""
    read = '[["policyValue",e.policyValue],["userValue",e.userValue],["applicationValue",'
    assert read in workbench


def test_a_setting_that_is_not_declared_is_noticed(workbench: str) -> None:
    with pytest.raises(AssertionError, match="not declared"):
        declaration(workbench, "chat.allowAnonymousAccessNoMore")
