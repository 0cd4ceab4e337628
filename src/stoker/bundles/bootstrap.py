"""Install Stoker from a bundle on a machine that has only Python, then load the bundle.

This file lies in every bundle. It needs no other package:

    tar -xf site.stoker manifest.json manifest.json.minisig bootstrap.py
    minisign -Vm manifest.json -p site.pub
    python3 bootstrap.py site.stoker --key site.pub --into /opt/stoker

It takes the wheels by the digests of the manifest, and hands what follows the bundle's name to
``stoker bundle load``, which verifies the signature before it installs anything. The program that
does so comes from the bundle itself: so check the manifest with minisign first, and this file by
its digest in it (``sha256sum bootstrap.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any


def main(bundle: str, options: list[str]) -> int:
    """Install Stoker into a folder that goes again, and load the bundle with it."""
    with tempfile.TemporaryDirectory(prefix="stoker-bootstrap-") as folder:
        environment, wheels = Path(folder, "venv"), Path(folder, "wheels")
        wheels.mkdir()
        take_wheels(bundle, wheels)
        print("bootstrap: installing Stoker to load the bundle with", flush=True)
        # No settings of this machine's pip or Python lead elsewhere.
        foreign = ("PIP_", "PYTHONPATH", "PYTHONHOME")
        clean = {n: v for n, v in os.environ.items() if not n.startswith(foreign)}
        clean["PIP_CONFIG_FILE"] = os.devnull
        subprocess.run([sys.executable, "-m", "venv", environment], check=True, env=clean)
        pip = [str(environment / "bin/python"), "-m", "pip", "--isolated", "install", "--quiet"]
        pip += ["--no-index", "--find-links", str(wheels), "--disable-pip-version-check", "stoker"]
        subprocess.run(pip, check=True, env=clean)
        load = [str(environment / "bin/stoker"), "bundle", "load", bundle, *options]
        if "--python" not in options:
            load += ["--python", sys.executable]
        return subprocess.run(load, check=False, env=clean).returncode


def take_wheels(bundle: str, folder: Path) -> None:
    """Write the bundle's wheels into ``folder``. Ends the program where one differs."""
    with tarfile.open(bundle, "r:") as archive:
        manifest = json.loads(_content(archive, "manifest.json"))
        wheels = [item for item in manifest["items"] if item["kind"] == "wheel"]
        for wheel in wheels:
            (file,) = wheel["files"]
            content = _content(archive, f"blobs/sha256/{file['sha256']}")
            if hashlib.sha256(content).hexdigest() != file["sha256"]:
                raise SystemExit(f"bootstrap: {file['path']} was altered or damaged")
            # Its last part alone: nothing is written outside of the folder.
            (folder / Path(file["path"]).name).write_bytes(content)


def _content(archive: Any, name: str) -> bytes:
    try:
        return bytes(archive.extractfile(name).read())
    except KeyError:
        raise SystemExit(
            f"bootstrap: the bundle has no {name}: an update is loaded with the Stoker that is "
            "there already: stoker bundle load"
        ) from None


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        raise SystemExit("usage: python3 bootstrap.py BUNDLE --key FILE.pub --into FOLDER")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
