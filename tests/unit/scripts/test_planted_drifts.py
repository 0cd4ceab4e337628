"""Drifts of 27 kinds, planted in a copy of the project: ``make docs`` catches each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
#: What the checks read but no drift touches.
LINKED = ("src", "tests", "findings", "LICENSE", "pyproject.toml", "constraints.txt")


@dataclass(frozen=True)
class Drift:
    """A change of one file that leaves the docs wrong, and what the checks print of it."""

    kind: str
    file: str
    before: str
    after: str
    #: The page and a part of the complaint.
    caught: tuple[str, str]


DRIFTS = (
    Drift(
        *("setting", "README.md", '"huggingface.customTGIEndpoint"', '"huggingface.tgiUrl"'),
        ("README.md", "there is no setting huggingface.tgiUrl"),
    ),
    Drift(
        *("setting", "extension/package.json", "stoker.completion.exclude", "stoker.skipped"),
        ("docs/completion.md", "there is no setting stoker.completion.exclude"),
    ),
    Drift(
        *("flag", "docs/05-installation.md", "stoker up --dry-run --engine", "stoker up --try"),
        ("docs/05-installation.md", "`stoker up` takes no option --try"),
    ),
    Drift(
        *("flag", "docs/sizing.md", "--developers 200 --rented", "--developers 200 --rental"),
        ("docs/sizing.md", "`stoker size` takes no option --rental"),
    ),
    Drift(
        *("command", "README.md", "`stoker docs` opens", "`stoker pages` opens"),
        ("README.md", "there is no command `stoker pages`"),
    ),
    Drift(
        *("command", "Makefile", "docs-write: $(STAMP)", "write-docs: $(STAMP)"),
        ("docs/03-setup-development.md", "the Makefile has no target docs-write"),
    ),
    Drift(
        *("path", "docs/sizing.md", "src/stoker/sizing/workload.py", "src/stoker/sizing/load.py"),
        ("docs/sizing.md", "there is no file src/stoker/sizing/load.py"),
    ),
    Drift(
        *(
            "path",
            "docs/contributing/gateway.md",
            "`benchmarks/bare_relay.py`",
            "`benchmarks/b.py`",
        ),
        ("docs/contributing/gateway.md", "there is no file benchmarks/b.py"),
    ),
    Drift(
        *("benchmark number", "benchmarks/data/last_runs.toml", "memory_mb = 42", "memory_mb = 64"),
        ("docs/air-gapped.md", "run bundles.memory_mb is 64, and the page has 42"),
    ),
    Drift(
        "benchmark number",
        "docs/contributing/usage.md",
        "`benchmarks/usage_cost.py`, ",
        "`benchmarks/usage_cost.py`, 3 us on a good day, ",
        ("docs/contributing/usage.md", "'3 us' beside a benchmark: write it as a fact"),
    ),
    Drift(
        *("link", "README.md", "(docs/infrastructure.md)", "(docs/infra.md)"),
        ("README.md", "the link docs/infra.md leads to no file"),
    ),
    Drift(
        *("link", "docs/usage.md", "(context-fitting.md)", "(fitting.md)"),
        ("docs/usage.md", "the link fitting.md leads to no file"),
    ),
    Drift(
        *("anchor", "docs/02-backend-decisions.md", "## Adopting a server", "## Adopt a server"),
        ("docs/05-installation.md", "#adopting-a-server leads to no heading"),
    ),
    Drift(
        *("anchor", "CONTRIBUTING.md", "01-architecture.md#the-nouns", "01-architecture.md#nouns"),
        ("CONTRIBUTING.md", "#nouns leads to no heading"),
    ),
    Drift(
        *("image", "README.md", "docs/pictures/make-up.svg", "docs/pictures/up.svg"),
        ("README.md", "the link docs/pictures/up.svg leads to no file"),
    ),
    Drift(
        *("image", "docs/08-model-selection-guide.md", "completion, short chats", "short chats"),
        ("docs/pictures", "a diagram was changed"),
    ),
    Drift(
        "default",
        "docs/sizing.md",
        "<!-- fact: default size --active -->0.3",
        "<!-- fact: default size --active -->0.5",
        ("docs/sizing.md", "default size --active is 0.3, and the page has 0.5"),
    ),
    Drift(
        "default",
        "docs/limits.md",
        "# Limits",
        "# Limits\n\n`--port` is 8123 by default.\n\n#",
        ("docs/limits.md", "8123 is not the default of --port"),
    ),
    Drift(
        "exit code",
        "docs/checking.md",
        "<!-- fact: exit failed -->1",
        "<!-- fact: exit failed -->3",
        ("docs/checking.md", "exit failed is 1, and the page has 3"),
    ),
    Drift(
        "exit code",
        "docs/deploying.md",
        "exit code <!-- fact: exit failed -->1<!-- /fact -->",
        "exit code 4",
        ("docs/deploying.md", "'exit code 4': write the exit code as a fact"),
    ),
)

#: One of each further kind, which a search for names alone would miss.
FURTHER_DRIFTS = (
    Drift(
        "exit code in a table",
        "docs/checking.md",
        "| <!-- fact: exit failed -->1<!-- /fact --> |",
        "| 4 |",
        ("docs/checking.md", "'4' in a table: write the exit code as a fact"),
    ),
    Drift(
        *("default in a table", "docs/deploying-kubernetes.md", "| `blue` |", "| `3` |"),
        ("docs/deploying-kubernetes.md", "'`3`' in a table: write the default as a fact"),
    ),
    Drift(
        *("flag in text", "docs/infrastructure.md", "--prices ours.toml", "--prizes ours.toml"),
        ("docs/infrastructure.md", "`stoker size` takes no option --prizes"),
    ),
    Drift(
        *("flag in a second line", "docs/air-gapped.md", "--extra teams", "--extras teams"),
        ("docs/air-gapped.md", "`stoker bundle` takes no option --extras"),
    ),
    Drift(
        *("value of a flag", "docs/usage.md", "--by model", "--by modell"),
        ("docs/usage.md", "`stoker usage --by` does not take modell"),
    ),
    Drift(
        *("command in a command", "docs/teams.md", "stoker audit verify", "stoker audit check"),
        ("docs/teams.md", "`stoker audit` has no command check"),
    ),
    Drift(
        *("case of an anchor", "docs/05-installation.md", "#adopting-a-", "#Adopting-a-"),
        ("docs/05-installation.md", "#Adopting-a-server leads to no heading"),
    ),
    Drift(
        *("another picture", "README.md", "docs/pictures/make-up.svg", "docs/pictures/readme.png"),
        ("docs/pictures", "no page shows make-up.svg"),
    ),
    Drift(
        *("command of the palette", "docs/07-viewing-logs.md", "*Stoker: Show", "*Stoker: Open"),
        ("docs/07-viewing-logs.md", "VS Code's palette has no command Stoker: Open Log"),
    ),
    Drift(
        *("metric", "docs/usage.md", "stoker_requests_refused_total", "stoker_refused_total"),
        ("docs/usage.md", "there is no stoker_refused_total"),
    ),
    Drift(
        *("variable", "docs/05-installation.md", "`STOKER_HOME` moves", "`STOKER_FOLDER` moves"),
        ("docs/05-installation.md", "there is no STOKER_FOLDER"),
    ),
    Drift(
        *("path of the API", "docs/two-models.md", "`/v1/models`", "`/v1/model-list`"),
        ("docs/two-models.md", "there is no path /v1/model-list"),
    ),
    Drift(
        *("check", "docs/06-troubleshooting.md", "--only tools.auto", "--only tools.automatic"),
        ("docs/06-troubleshooting.md", "`stoker test --only` does not take tools.automatic"),
    ),
    Drift(
        *("model", "docs/planning.md", "qwen3-coder-30b-a3b", "qwen3-coder-31b-a3b"),
        ("docs/planning.md", "there is no model qwen3-coder-31b-a3b"),
    ),
    Drift(
        "file in a command",
        "docs/03-setup-development.md",
        "test_up_and_down.py -k twice",
        "test_up_then_down.py -k twice",
        ("docs/03-setup-development.md", "no file tests/integration/test_up_then_down.py"),
    ),
    Drift(
        "table of a benchmark",
        "docs/contributing/simulation-accuracy.md",
        "`python benchmarks/sizing_published.py`",
        "`python benchmarks/sizing_published.py`\n\n| GPU | off |\n| --- | --- |\n| L4 | 3 % |\n\n",
        (
            "docs/contributing/simulation-accuracy.md",
            "'3 %' in a table of a benchmark: generate it",
        ),
    ),
    Drift(
        "result in prose",
        "docs/contributing/plan-accuracy.md",
        "No log of a failed start",
        "The median was 12 % too low. No log of a failed start",
        ("docs/contributing/plan-accuracy.md", "'12 %' was measured: write it as a fact"),
    ),
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project, to be changed."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in LINKED:
        (copy / name).symlink_to(ROOT / name)
    for folder in ("docs", "scripts", "benchmarks"):
        shutil.copytree(ROOT / folder, copy / folder)
    (copy / "extension").mkdir()
    for each in (ROOT / "extension").iterdir():
        if each.name not in ("package.json", "node_modules"):
            (copy / "extension" / each.name).symlink_to(each)
    pages = [page.name for page in ROOT.glob("*.md")]
    for name in ("extension/package.json", "Makefile", *pages):
        shutil.copyfile(ROOT / name, copy / name)
    return copy


def problems(project: Path) -> list[str]:
    """What the check of the docs prints: a problem a line."""
    command = [sys.executable, "-m", "scripts.check_docs"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert (done.returncode == 0) is ("name only what exists" in lines[-1])
    return lines if done.returncode else []


def missed(project: Path, drifts: tuple[Drift, ...]) -> list[Drift]:
    """The drifts that the check does not find, once all are planted."""
    for drift in drifts:
        file = project / drift.file
        text = file.read_text(encoding="utf-8")
        assert drift.before in text, drift
        file.write_text(text.replace(drift.before, drift.after), encoding="utf-8")
    found = problems(project)

    def caught(drift: Drift) -> bool:
        page, complaint = drift.caught
        return any(line.startswith(f"{page}: ") and complaint in line for line in found)

    return [drift for drift in drifts if not caught(drift)]


def test_twenty_drifts_of_ten_kinds_are_caught(copy: Path) -> None:
    assert problems(copy) == []
    kinds = [drift.kind for drift in DRIFTS]
    assert len(kinds) == 20
    assert all(kinds.count(kind) == 2 for kind in kinds)
    assert missed(copy, DRIFTS) == []


def test_drifts_of_seventeen_further_kinds_are_caught(copy: Path) -> None:
    assert len({drift.kind for drift in FURTHER_DRIFTS}) == 17
    assert missed(copy, FURTHER_DRIFTS) == []


def test_a_generated_table_that_was_edited_is_caught(copy: Path) -> None:
    """The defaults of options and settings are in tables that cog writes."""
    page = copy / "docs/reference/commands.md"
    text = page.read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if "`0.3`" in line)
    page.write_text(text.replace(row, row.replace("`0.3`", "`0.4`")), encoding="utf-8")
    cog = [str(Path(sys.executable).with_name("cog")), "--check", "docs/reference/commands.md"]
    done = subprocess.run(cog, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "docs/reference/commands.md" in done.stdout + done.stderr
