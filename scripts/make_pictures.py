"""Make the pictures of the docs again: ``make pictures``. It needs what ``make test-all`` needs.

- ``readme.png``: VS Code with a local model, as tests/e2e/test_completion.py leaves it;
- ``make-up.svg``: a recording of ``make up`` by termtosvg, with the times that it took;
- ``diagram-*.svg``: the Mermaid diagrams of the pages, for readers without GitHub.

``make_pictures.py diagrams`` makes only those; so do ``recording`` and ``screenshot``.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stoker import paths
from stoker.bundles import docs_site

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
MERMAID, TERMTOSVG = "mermaid@12.3.0", "termtosvg-ng==1.4.1"
#: Columns and rows of the terminal that is recorded.
GEOMETRY = "100x28"
#: Each picture at most: a page is to open at once.
MOST_BYTES = 150_000


def screenshot() -> None:
    """VS Code's chat and a completed line, both by a local model."""
    test = ["-m", "pytest", "-q", "tests/e2e/test_completion.py", "-k", "chat_answers_beside"]
    wanted = {**os.environ, "STOKER_PICTURES": "1"}
    subprocess.run([sys.executable, *test], cwd=ROOT, check=True, env=wanted)
    shutil.copyfile(ROOT / "artifacts/vscode/30-chat-and-ghost-text.png", PICTURES / "readme.png")


def recording() -> None:
    """``make up`` in a home of its own, with the models that this machine downloaded before."""
    recorder = _tools() / "recorder"
    if not (recorder / "bin/termtosvg").is_file():
        subprocess.run([sys.executable, "-m", "venv", recorder], check=True)
        subprocess.run([recorder / "bin/pip", "install", "-q", TERMTOSVG], check=True)
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "cache").mkdir()
        (Path(home) / "cache/models").symlink_to(paths.cache_dir() / "models")
        own = {"STOKER_HOME": home, "HOME": home, "TERM": "xterm-256color"}
        out, shown = PICTURES / "make-up.svg", "echo '$ make up'; make -s up; sleep 3"
        command = [str(recorder / "bin/termtosvg"), str(out), "-c", f'sh -c "{shown}"']
        options = ["-g", GEOMETRY, "-t", "window_frame", "-M", "1500", "-m", "80", "-D", "8000"]
        values = [f"{name}={value}" for name, value in own.items()]
        try:
            # The recorder ends where its own input does, so it gets a terminal.
            failed = pty.spawn(
                ["env", "-C", str(ROOT), "-u", "HF_HUB_OFFLINE", *values, *command, *options]
            )
        finally:
            down = [str(ROOT / ".venv/bin/stoker"), "down"]
            subprocess.run(down, env={**os.environ, **own}, check=False)
    if failed:
        sys.exit("make up was not recorded")


def diagrams() -> None:
    """Every Mermaid diagram of the pages; those that no page has any more go."""
    node = _node()
    mermaid = _tools() / "mermaid/node_modules/mermaid/dist/mermaid.min.js"
    if not mermaid.is_file():
        prefix = ["--prefix", str(_tools() / "mermaid"), "--ignore-scripts", "--silent"]
        npm = [str(node / "node"), str(node / "npm"), "install"]
        subprocess.run([*npm, *prefix, MERMAID], check=True)
    drawing = [ROOT / "extension/node_modules/playwright-core", mermaid]
    script = [str(node / "node"), str(ROOT / "scripts/draw_diagrams.mjs"), *map(str, drawing)]
    sources = docs_site.diagrams(ROOT)
    done = subprocess.run(
        [*script, str(ROOT / "tests/e2e/chromium.mjs")],
        input=json.dumps(list(sources.values())),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for old in PICTURES.glob("diagram-*.svg"):
        old.unlink()
    for name, svg in zip(sources, json.loads(done.stdout), strict=True):
        (PICTURES / name).write_text(svg + "\n", encoding="utf-8")


def _tools() -> Path:
    folder = paths.cache_dir() / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _node() -> Path:
    """The folder of the Node that drives the browser."""
    script = [ROOT / "scripts/install-vscode.sh"]
    printed = subprocess.run(script, stdout=subprocess.PIPE, text=True, check=True).stdout
    return Path(printed.strip().splitlines()[-1]) / "bin"


def main() -> None:
    """Make the pictures that the arguments name, or all."""
    makers = {"diagrams": diagrams, "recording": recording, "screenshot": screenshot}
    PICTURES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or makers:
        makers[name]()
    large = [each.name for each in PICTURES.iterdir() if each.stat().st_size > MOST_BYTES]
    if large:
        sys.exit(f"larger than {MOST_BYTES:,} bytes: {', '.join(large)}")


if __name__ == "__main__":
    main()
