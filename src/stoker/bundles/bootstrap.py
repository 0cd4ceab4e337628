"""Load a bundle on a machine that has only Python, with the Stoker in the bundle.

This file lies in every bundle. It needs no other package:

    tar -xf site.stoker manifest.json manifest.json.minisig bootstrap.py
    minisign -Vm manifest.json -p site.pub
    python3 bootstrap.py site.stoker --key site.pub --into /opt/stoker

It reads the ``manifest.json`` beside it, which is the one that minisign has checked, and refuses a
bundle that holds another. It takes the wheels by their digests in it, and hands what follows the
bundle's name to ``stoker bundle load``, which verifies the signature again before it installs
anything. This file comes from the bundle too: check it by its digest in the manifest
(``sha256sum bootstrap.py``).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

USAGE = "usage: python3 bootstrap.py BUNDLE --key FILE.pub --into FOLDER"
_MANIFEST = "manifest.json"
_UNPACK = "tar -xf {} manifest.json manifest.json.minisig bootstrap.py"
_CHUNK_BYTES = 1 << 20


def main(arguments: list[str]) -> int:
    """Run the command line; returns its exit code. Ends the program with one line where it can't.

    What can't be read or written ends it too.
    """
    names = {each.partition("=")[0] for each in arguments}
    checked = names & {"--key", "--allow-unsigned"}
    if not arguments or arguments[0].startswith("-") or "--into" not in names or not checked:
        print(USAGE, file=sys.stderr)
        return 2
    bundle, *options = arguments
    try:
        manifest = checked_manifest(bundle, Path(__file__).with_name(_MANIFEST))
        refuse_other_machine(manifest)
        return _load(bundle, manifest, options)
    except KeyboardInterrupt:
        return 130
    except (tarfile.TarError, zipfile.BadZipFile, EOFError):
        raise _end(f"{bundle} is not a bundle, or is cut short: copy it again") from None
    except (KeyError, TypeError, ValueError):
        raise _end("the manifest can't be read: copy the bundle again") from None
    except OSError as error:
        hint = ": set TMPDIR to a folder on another disk" if error.errno == errno.ENOSPC else ""
        raise _end(f"{error.filename or 'a file'}: {error.strerror}{hint}") from None


def checked_manifest(bundle: str, beside: Path) -> dict[str, Any]:
    """The manifest ``beside`` this program. Ends the program where the bundle has another."""
    if not Path(bundle).is_file():
        raise _end(f"there is no file {bundle}")
    if not beside.is_file():
        raise _end(f"{beside} is missing. Unpack both: {_UNPACK.format(bundle)}")
    content = beside.read_bytes()
    with tarfile.open(bundle, "r:") as archive:
        if _member(archive, _MANIFEST).read() != content:
            raise _end(
                f"{bundle} is not the bundle that {beside} describes. Unpack it again, and check "
                f"it with minisign: {_UNPACK.format(bundle)}"
            )
    manifest: dict[str, Any] = json.loads(content)
    return manifest


def refuse_other_machine(manifest: dict[str, Any]) -> None:
    """End the program where the wheels are not for this Python and this machine."""
    wanted = manifest["target"]
    system = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
    here, python = f"{system}-{platform.machine()}", "{}.{}".format(*sys.version_info)
    if wanted["platform"] != here:
        raise _end(f"the bundle is for {wanted['platform']}, and this machine is {here}")
    if wanted["python"] != python:
        raise _end(
            f"the bundle is for Python {wanted['python']}, and this is Python {python}: run it "
            f"with python{wanted['python']}, or make a bundle with --python {python}"
        )


def take_wheels(bundle: str, manifest: dict[str, Any], folder: Path) -> None:
    """Write the bundle's wheels into ``folder``. Ends the program where one differs."""
    with tarfile.open(bundle, "r:") as archive:
        for wheel in (item for item in manifest["items"] if item["kind"] == "wheel"):
            (file,) = wheel["files"]
            content = _member(archive, f"blobs/sha256/{file['sha256']}")
            # Its last part alone: nothing is written outside the folder.
            target, digest = folder / Path(file["path"]).name, hashlib.sha256()
            with target.open("wb") as out:
                while chunk := content.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    out.write(chunk)
            if digest.hexdigest() != file["sha256"]:
                target.unlink()
                raise _end(f"{file['path']!r} was altered or damaged: copy the bundle again")


def _load(bundle: str, manifest: dict[str, Any], options: list[str]) -> int:
    """Unpack Stoker into a folder that goes again, and load the bundle with it."""
    with tempfile.TemporaryDirectory(prefix="stoker-bootstrap-") as folder:
        wheels, packages = Path(folder, "wheels"), Path(folder, "packages")
        wheels.mkdir()
        take_wheels(bundle, manifest, wheels)
        print("bootstrap: unpacking Stoker to load the bundle with", flush=True)
        # A wheel is a zip archive whose top is what an installation puts on the path.
        for wheel in sorted(wheels.iterdir()):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(packages)  # noqa: S202  (zipfile keeps names in the folder)
            wheel.unlink()
        # Settings and packages of this machine's Python must not change what is imported.
        foreign = ("PIP_", "PYTHON")
        clean = {n: v for n, v in os.environ.items() if not n.startswith(foreign)}
        clean |= {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
        load = [sys.executable, "-s", "-S", "-m", "stoker", "bundle", "load", bundle, *options]
        if not any(each.partition("=")[0] == "--python" for each in options):
            load += ["--python", sys.executable]
        return subprocess.run(load, check=False, env=clean).returncode


def _member(archive: tarfile.TarFile, name: str) -> Any:
    try:
        return archive.extractfile(name) or _no_member(name)
    except KeyError:
        return _no_member(name)


def _no_member(name: str) -> Any:
    raise _end(
        f"the bundle has no {name}: an update is loaded with the Stoker that is there already: "
        "stoker bundle load"
    )


def _end(message: str) -> SystemExit:
    return SystemExit(f"bootstrap: {message}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
