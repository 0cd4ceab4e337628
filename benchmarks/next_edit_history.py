"""Real history for `extension/benchmarks/nextEdit.test.ts`: what changed between two releases.

    python benchmarks/next_edit_history.py FOLDER [--held-out]

Downloads two releases of each package as wheels with pip, and writes FOLDER/history.json: for each
Python file that both have, the older text and the hunks that make it the newer one. The releases in
``TUNED`` were looked at while the rules were written; those in ``HELD_OUT`` were not. All are under
MIT, BSD or Apache-2.0.
"""

from __future__ import annotations

import argparse
import difflib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

TUNED = (
    ("attrs", "22.2.0", "23.2.0"),
    ("click", "8.0.4", "8.1.7"),
    ("httpx", "0.23.3", "0.25.2"),
    ("rich", "12.6.0", "13.7.1"),
    ("starlette", "0.27.0", "0.36.3"),
    ("flask", "2.2.5", "3.0.3"),
    ("pytest", "7.2.2", "7.4.4"),
    ("django", "4.1.13", "4.2.11"),
    ("networkx", "2.8.8", "3.1"),
    ("werkzeug", "2.2.3", "3.0.4"),
    ("jinja2", "3.0.3", "3.1.4"),
    ("urllib3", "1.26.18", "2.2.3"),
    ("fastapi", "0.95.2", "0.110.3"),
    ("sphinx", "6.2.1", "7.1.2"),
    ("pip", "22.3.1", "23.1.2"),
)
HELD_OUT = (
    ("celery", "5.2.7", "5.3.6"),
    ("scrapy", "2.8.0", "2.11.1"),
    ("textual", "0.40.0", "0.47.1"),
    ("anyio", "3.7.1", "4.3.0"),
    ("marshmallow", "3.19.0", "3.21.1"),
    ("jsonschema", "4.17.3", "4.21.1"),
    ("mkdocs", "1.4.3", "1.5.3"),
    ("uvicorn", "0.20.0", "0.29.0"),
    ("setuptools", "65.7.0", "68.2.2"),
    ("trio", "0.22.2", "0.25.0"),
)
#: Hunks of a file: one hunk has nothing before it, and many are a format or a new file.
HUNKS = range(2, 41)
#: Lines of a hunk: what a person changes at one place before going on.
MAX_HUNK_LINES = 40


def downloaded(name: str, version: str, folder: Path) -> Path:
    """The wheel of one release, downloaded once."""
    found = list((folder / version).glob(f"{name}-*.whl"))
    if not found:
        where = ["--only-binary=:all:", "--dest", str(folder / version)]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *where]
        subprocess.run([*pip, f"{name}=={version}"], check=True)
        found = list((folder / version).glob("*.whl"))
    return found[0]


def python_files(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".py")]
        return {name: archive.read(name).decode(errors="replace") for name in names}


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines ``line`` to before ``endLine`` of the older text became ``lines``."""

    line: int
    endLine: int  # noqa: N815 - as the benchmark that reads it spells it
    lines: list[str]


def hunks(before: list[str], after: list[str]) -> list[Hunk]:
    changes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [
        Hunk(start, end, after[new_start:new_end])
        for tag, start, end, new_start, new_end in changes
        if tag != "equal" and end - start <= MAX_HUNK_LINES
    ]


def changed_files(name: str, old: Path, new: Path) -> Iterator[dict[str, object]]:
    older, newer = python_files(old), python_files(new)
    for path in sorted(older.keys() & newer.keys()):
        before = older[path].splitlines()
        found = hunks(before, newer[path].splitlines())
        if len(found) in HUNKS:
            listed = [asdict(hunk) for hunk in found]
            yield {"package": name, "path": path, "before": before, "hunks": listed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--held-out", action="store_true")
    arguments = parser.parse_args()
    history: list[dict[str, object]] = []
    for name, old, new in HELD_OUT if arguments.held_out else TUNED:
        folder = arguments.folder / "wheels" / name
        folder.mkdir(parents=True, exist_ok=True)
        older, newer = downloaded(name, old, folder), downloaded(name, new, folder)
        files = list(changed_files(name, older, newer))
        print(f"{name} {old} to {new}: {len(files)} files")
        history += files
    (arguments.folder / "history.json").write_text(json.dumps(history))


if __name__ == "__main__":
    main()
