"""Stoker and what it needs as wheels, for the target's Python and platform.

pip downloads, so the user's own mirrors, proxies and certificates hold. For another machine than
this one uv resolves first: pip reads the conditions of requirements (``; sys_platform == ...``) by
the machine that it runs on, whatever target it is given.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import stoker
from stoker.bundles import target_machines
from stoker.bundles.bundle_manifest import TargetMachine
from stoker.errors import StokerError, UsageError

_POLL_S = 0.2
#: What pip is given of the user's settings, as uv calls it.
_UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "constraint": "UV_CONSTRAINT",
}
#: Called with the bytes that are there.
Grown = Callable[[int], None]


def own_source() -> Path | None:
    """What this Stoker was installed from: its project's folder, or its wheel.

    ``None`` where neither is on this machine. A package index is never asked for Stoker: it is on
    none, and whatever had its name there would be another program.
    """
    folder = Path(stoker.__file__).resolve().parents[2]
    if (folder / "pyproject.toml").is_file() and (folder / "src" / "stoker").is_dir():
        return folder
    try:
        noted = json.loads(distribution("stoker").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    url = urlsplit(str(noted.get("url", "")))
    path = Path(url2pathname(url.path))
    return path if url.scheme == "file" and url.path and path.exists() else None


def collect(
    folder: Path, source: Path | None, extras: Sequence[str], target: TargetMachine, grown: Grown
) -> list[Path]:
    """Put the wheels into ``folder``, and return them. ``grown`` gets the bytes so far.

    ``source`` is a wheel of Stoker or its project's folder. What a run that was interrupted has
    downloaded is used. Raises ``StokerError``.
    """
    own = _own_wheel(folder.with_name("own-wheel"), source, grown)
    marker = folder / "complete.json"
    # A project's code may have changed since; building its wheel again takes seconds.
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    asked = json.dumps([own.name, digest, list(extras), repr(target)])
    if marker.is_file() and marker.read_text() == asked:
        return sorted(folder.glob("*.whl"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chosen = f"[{','.join(extras)}]" if extras else ""
    requirement = f"stoker{chosen} @ {own.resolve().as_uri()}"
    options = ["--dest", str(folder), "--only-binary", ":all:", "--python-version", target.python]
    options += [part for tag in target_machines.pip_tags(target) for part in ("--platform", tag)]
    if target_machines.is_this_machine(target):
        _pip(["download", *options, requirement], folder, grown)
    else:
        resolved = _resolved(requirement, folder, target)
        _pip(["download", *options, "--no-deps", "-r", str(resolved)], folder, grown)
        resolved.unlink()
    marker.write_text(asked)
    return sorted(folder.glob("*.whl"))


def _own_wheel(folder: Path, source: Path | None, grown: Grown) -> Path:
    if source is None:
        raise UsageError(
            "Stoker's own wheel can't be made.",
            "What this Stoker was installed from is not on this machine any more.",
            "Name its source folder or its wheel with --stoker.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if source.is_file() and source.suffix == ".whl":
        shutil.copyfile(source, folder / source.name)
    elif (source / "pyproject.toml").is_file():
        _pip(["wheel", "--no-deps", "--wheel-dir", str(folder), str(source)], folder, grown)
    else:
        raise UsageError(
            f"{source} is neither a wheel of Stoker nor its source folder.",
            "",
            "Omit --stoker, or name a file that ends in .whl.",
        )
    found = list(folder.glob("stoker-*.whl"))
    if len(found) != 1:
        raise UsageError(f"{source} is not Stoker.", "Building it gave no wheel named stoker-...")
    return found[0]


def _resolved(requirement: str, folder: Path, target: TargetMachine) -> Path:
    """A file with the exact version of everything that the requirement needs on the target."""
    if importlib.util.find_spec("uv") is None and shutil.which("uv") is None:
        raise StokerError(
            f"A bundle for {target.platform} with Python {target.python} needs uv on this machine.",
            "pip reads the conditions of requirements by the machine that it runs on.",
            "Install it: pip install '.[bundles]' in Stoker's clone; or make the bundle on such a "
            "machine.",
        )
    uv = [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else ["uv"]
    resolved = folder / "resolved.txt"
    command = [*uv, "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"]
    command += ["--python-version", target.python, "--only-binary", ":all:"]
    command += ["--python-platform", target_machines.uv_platform(target)]
    # pip, which downloads then, knows no order among the user's indexes either.
    command += ["--index-strategy", "unsafe-best-match"]
    command += ["--output-file", str(resolved)]
    done = subprocess.run(
        command,
        input=requirement,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **_uv_settings()},
    )
    if done.returncode != 0:
        raise StokerError(
            f"Wheels for {target.platform} with Python {target.python} can't be had.",
            f"uv reports: {_last_lines(done.stderr)}",
            "Choose another Python with --python, or fewer extras.",
        )
    return resolved


def _uv_settings() -> dict[str, str]:
    """pip's settings as uv reads them, which does not read pip's."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    found: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        setting = _UV_NAMES.get(name.rpartition(".")[2])
        if setting and setting not in os.environ:
            found[setting] = value.strip("'\"").replace("\\n", " ").strip()
    return found


def _pip(arguments: list[str], folder: Path, grown: Grown) -> None:
    log = folder / "pip.log"
    command = [sys.executable, "-m", "pip", *arguments, "--no-input", "--progress-bar", "off"]
    command += ["--disable-pip-version-check"]
    with log.open("wb") as output:
        pip = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while pip.poll() is None:
                time.sleep(_POLL_S)
                grown(sum(path.stat().st_size for path in folder.glob("*.whl")))
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
    if pip.returncode != 0:
        raise StokerError(
            "The wheels can't be had.",
            f"pip reports: {_last_lines(log.read_text(errors='replace'))}",
            "Check the network and pip's index (pip config list), then run the same command again.",
        )
    log.unlink()


def _last_lines(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return " ".join(errors[:2] or lines[-2:])
