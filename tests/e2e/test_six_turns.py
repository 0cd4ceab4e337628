"""Six turns of an agent through Stoker's gateway, before a competent model with a small window.

Create, edit, search, errors, todo list, terminal: all have to be done, and nothing of what makes
that possible may be missing at the engine. Both harnesses of VS Code play them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.copilot_harness import CopilotHarness
from tests.e2e.editor import ARTIFACTS, measured
from tests.e2e.proxy import Proxy
from tests.e2e.window import Window
from tests.integration.conftest import Stoker
from tests.support import agent_report
from tests.support.scripted_model import Arrived, ScriptedModel, kind_of
from tests.support.six_turns import TURNS, write_workspace

from stoker.server.ports import any_free

pytestmark = pytest.mark.vscode

WINDOWS = (8192, 16_384)
#: The window that the extension reports to VS Code behind the gateway (EDITOR_WINDOW_TOKENS).
TOLD_TOKENS = 65_536


@contextmanager
def behind_the_gateway(window_tokens: int, folder: Path) -> Iterator[tuple[ScriptedModel, Proxy]]:
    """A model behind a gateway, and in front of that a proxy that records the editor's requests."""
    name = f"scripted-{window_tokens // 1024}k"
    stoker = Stoker(folder / "stoker", any_free())
    with ScriptedModel(window_tokens, model=name) as model:
        done = stoker.run("adopt", model.url, "--port", str(stoker.port))
        assert done.returncode == 0, done.stdout + done.stderr
        model.arrived.clear()
        try:
            with Proxy(stoker.endpoint) as proxy:
                yield model, proxy
        finally:
            stoker.run("down")


def report(
    model: ScriptedModel, proxy: Proxy, core: tuple[str, ...], name: str
) -> list[agent_report.Row]:
    """What reached the engine, recorded beside the screenshots."""
    offered = [asked.body for asked in proxy.chats() if kind_of(asked.body) == "agent"]
    arrived = [each.body for each in model.of_kind("agent")]
    rows = agent_report.rows(offered, arrived, model.window_tokens, core)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    lines = list(agent_report.lines(rows))
    (ARTIFACTS / f"six-turns-{name}-{model.window_tokens}.txt").write_text("\n".join(lines))
    measured(f"six turns in the {name} harness at {model.window_tokens:,} tokens", lines[-1])
    return rows


def is_whole(arrived: list[Arrived], rows: list[agent_report.Row]) -> None:
    """Checks what the engine got: no compaction, no refusal, the core tools, a full budget."""
    assert not [each for each in arrived if each.kind == "compaction"]
    assert not [each for each in arrived if each.status != 200]
    assert not [row for row in rows if row.missing_tools]
    assert not [row for row in rows if not row.is_full]
    assert agent_report.mean_shared(rows) >= agent_report.GOAL_PREFIX


@pytest.mark.parametrize("window_tokens", WINDOWS)
def test_six_turns_in_the_local_harness(window: Window, tmp_path: Path, window_tokens: int) -> None:
    workspace = window.server.workspace
    write_workspace(workspace)
    (workspace / "src/discounts.py").unlink(missing_ok=True)
    with behind_the_gateway(window_tokens, tmp_path) as (model, proxy):
        window.connect(proxy.url, model.model)
        done = window.plays(model)
        window.picture(f"21-six-turns-{window_tokens}")
        rows = report(model, proxy, agent_report.LOCAL_CORE, "local")
        assert done == [True] * len(TURNS), [row.missed for row in rows]
        is_whole(model.arrived, rows)


@pytest.mark.parametrize("window_tokens", WINDOWS)
def test_six_turns_in_the_copilot_harness(
    installed: Path, tmp_path: Path, window_tokens: int
) -> None:
    with (
        behind_the_gateway(window_tokens, tmp_path) as (model, proxy),
        CopilotHarness(installed, tmp_path, proxy.url, model.model, TOLD_TOKENS) as harness,
    ):
        write_workspace(harness.workspace)
        answers = [(turn, harness.ask(turn.text)) for turn in TURNS]
        rows = report(model, proxy, agent_report.COPILOT_CORE, "copilot")
        done = [turn.answer in said and turn.done(harness.workspace) for turn, said in answers]
        assert done == [True] * len(TURNS), [row.missed for row in rows]
        assert harness.compactions == 0
        is_whole(model.arrived, rows)
