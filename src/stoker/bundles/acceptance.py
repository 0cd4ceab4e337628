"""Prove that what was installed works: start it, look at the whole chain, check the endpoint."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stoker.bundles.loading import LoadedBundle, own_environment
from stoker.errors import StokerError

#: A large model takes minutes to load; the checks of a slow one take as long.
_WITHIN_S = 3600


@dataclass(frozen=True, slots=True)
class Step:
    """One command that was run, and what it printed."""

    name: str
    command: tuple[str, ...]
    passed: bool
    seconds: float
    result: Any


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What was tried of a bundle on this machine."""

    bundle: str
    host: str
    when: str
    steps: tuple[Step, ...]

    @property
    def passed(self) -> bool:
        """Whether every step did."""
        return all(step.passed for step in self.steps)


def accept(loaded: LoadedBundle, up_options: tuple[str, ...]) -> Generator[str, None, Acceptance]:
    """Run `stoker up` with the bundle's first model, then `stoker doctor` and `stoker test`.

    Yields the name of each step before it begins. The deployment stays. Raises ``StokerError``
    where the bundle has no model to start.
    """
    if not loaded.models:
        raise StokerError(
            "There is nothing to accept: the bundle has no model.",
            "",
            "Load it without --accept, or make one with a model.",
        )
    model = str(loaded.models[0].path)
    commands = {
        "up": ("up", model, "--offline", "--yes", "--json", *up_options),
        "doctor": ("doctor", "--json"),
        "test": ("test", "--json"),
    }
    steps: list[Step] = []
    for name, words in commands.items():
        if steps and not steps[0].passed:
            break  # without a deployment there is nothing to look at
        yield name
        steps.append(_run(loaded.stoker, name, words))
    now = datetime.now(timezone.utc).replace(microsecond=0).isoformat()
    return Acceptance(loaded.digest, _host(loaded.stoker), now, tuple(steps))


def as_dict(report: Acceptance) -> dict[str, Any]:
    """The report as JSON holds it."""
    return {
        "bundle": report.bundle,
        "host": report.host,
        "when": report.when,
        "passed": report.passed,
        "steps": [
            {
                "name": step.name,
                "command": list(step.command),
                "passed": step.passed,
                "seconds": step.seconds,
                "result": step.result,
            }
            for step in report.steps
        ],
    }


def as_markdown(report: Acceptance) -> str:
    """The report for people: who signs an acceptance reads it."""
    lines = [
        f"# Acceptance: {'passed' if report.passed else 'failed'}",
        "",
        f"- Bundle: `{report.bundle}`",
        f"- Machine: {report.host}",
        f"- Time: {report.when}",
        "",
        "| step | result | took | found |",
        "| --- | --- | --- | --- |",
    ]
    for step in report.steps:
        word = "passed" if step.passed else "failed"
        lines.append(f"| {step.name} | {word} | {step.seconds:.0f} s | {_found(step)} |")
    return "\n".join(lines) + "\n"


def write(report: Acceptance, folder: Path) -> tuple[Path, Path]:
    """Write the report into ``folder`` as Markdown and as JSON. Returns both files."""
    page, data = folder / "acceptance.md", folder / "acceptance.json"
    try:
        page.write_text(as_markdown(report), encoding="utf-8")
        data.write_text(json.dumps(as_dict(report), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StokerError(f"The report can't be written to {folder}.", f"{error}.") from error
    return page, data


def _run(stoker: Path, name: str, words: tuple[str, ...]) -> Step:
    began = datetime.now(timezone.utc)
    try:
        done = subprocess.run(
            [stoker, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_WITHIN_S,
            env=own_environment(),
        )
        passed, printed = done.returncode == 0, done.stdout or done.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        passed, printed = False, str(error)
    took = (datetime.now(timezone.utc) - began).total_seconds()
    try:
        result = json.loads(printed)
    except ValueError:
        result = printed.strip()
    return Step(name, ("stoker", *words), passed, round(took, 1), result)


def _host(stoker: Path) -> str:
    result = _run(stoker, "host", ("host", "--json")).result
    cpu = result.get("cpu", {}) if isinstance(result, dict) else {}
    gpus = result.get("gpus", []) if isinstance(result, dict) else []
    names = [str(gpu.get("name")) for gpu in gpus]
    return ", ".join([str(cpu.get("name") or cpu.get("model") or "unknown CPU"), *names])


def _found(step: Step) -> str:
    """The one thing of a step's result that matters most."""
    result = step.result
    if not isinstance(result, dict):
        return str(result)[:200].replace("\n", " ").replace("|", "/")
    if "error" in result:
        return str(result["error"].get("what", "")).replace("|", "/")
    if step.name == "up":
        return f"a chat was answered; context {result.get('max_model_len'):,} tokens"
    if step.name == "doctor":
        broken = [f["id"] for f in result.get("findings", ()) if f.get("status") == "broken"]
        return f"broken: {', '.join(broken)}" if broken else "nothing is broken"
    verdicts = result.get("verdicts", {})
    return ", ".join(f"{use}: {each.get('verdict')}" for use, each in verdicts.items())
