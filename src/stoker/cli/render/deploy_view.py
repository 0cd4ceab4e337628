"""How deployment files are shown: with the reasons in them, and what was changed by hand."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stoker.application.deployment_site import FileChange, SiteRecord
from stoker.counted import counted
from stoker.deploy import Site, SiteFile


def document(
    site: Site, files: Sequence[SiteFile], folder: Path | None, *, kept: Sequence[str] = ()
) -> dict[str, Any]:
    """What was written, for programs."""
    return {
        "folder": None if folder is None else str(folder),
        "model": site.plan.model.id,
        "engine": site.plan.engine,
        "replicas": site.request.replicas,
        "gpus": site.gpus,
        "gateways": site.request.gateways,
        "endpoint": site.request.endpoint,
        "files": [
            {
                "path": file.path,
                "reasons": [{"line": reason.at, "reason": reason.why} for reason in file.reasons],
            }
            for file in files
        ],
        "kept": list(kept),
    }


def summary(site: Site) -> str:
    """What the files start, in one line."""
    where = f"on {counted(site.gpus, 'GPU')}" if site.gpus else "on the CPU"
    replicas = counted(site.request.replicas, "replica")
    gateways = counted(site.request.gateways, "gateway")
    return f"{replicas} of {site.plan.model.id} {where}, {gateways}, at {site.request.endpoint}"


def written_lines(site: Site, folder: Path, steps: Sequence[str]) -> tuple[str, ...]:
    """What was written where, and what to type next."""
    head = (f"Written to {folder}: {summary(site)}", "Next, in that folder:")
    return (*head, *(f"  {step}" for step in steps))


def explanation(files: Sequence[SiteFile]) -> list[str]:
    """Each line that has a reason, below the name of its file."""
    lines: list[str] = []
    for file in files:
        if not file.reasons:
            continue
        lines += ["", file.path]
        for reason in file.reasons:
            lines.append(f"  {reason.at}")
            lines += textwrap.wrap(
                reason.why, 80, initial_indent="      ", subsequent_indent="      "
            )
    return lines[1:]


def change_lines(changes: Sequence[FileChange]) -> list[str]:
    """The changes as a unified diff: from what Stoker wrote to what is there."""
    lines: list[str] = []
    for change in changes:
        if change.now is None:
            lines.append(f"{change.path} was removed")
        elif change.written is None:
            lines.append(f"{change.path} was added")
        else:
            lines += _changed_lines(change.path, change.written, change.now)
    return lines


def _changed_lines(path: str, written: str, now: str) -> list[str]:
    found = list(
        difflib.unified_diff(
            written.splitlines(),
            now.splitlines(),
            f"{path} as written",
            f"{path} now",
            lineterm="",
            n=2,
        )
    )
    if "\r" in now and "\r" not in written:
        found.insert(0, f"{path} has the line ends of Windows: programs on servers misread them")
    return found or [f"{path} differs at its end, or in its line ends"]


def changes_document(record: SiteRecord, changes: Sequence[FileChange]) -> dict[str, Any]:
    """The changes, for programs."""
    return {
        "format": record.request.format,
        "stoker_version": record.stoker_version,
        "changes": [
            {
                "path": change.path,
                "removed": change.now is None,
                "added": change.written is None,
                "diff": "\n".join(change_lines([change])),
            }
            for change in changes
        ],
    }
