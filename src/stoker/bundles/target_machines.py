"""The machine that a bundle is for: what its wheels must be tagged with, and whether this is it."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from pathlib import Path

from stoker.bundles.bundle_manifest import TargetMachine
from stoker.errors import StokerError, UsageError

#: The platforms that a bundle can be made for.
PLATFORMS = ("linux-x86_64", "linux-aarch64", "macos-arm64")
#: The glibc that a bundle is made for unless another is named: Debian 10, Ubuntu 18.10, RHEL 8 and
#: newer have it, and most compiled wheels need no newer one.
DEFAULT_GLIBC = "2.28"
#: The oldest glibc that wheels still name by number (PEP 600).
_OLDEST_GLIBC_MINOR = 17
#: The first macOS on Apple's own processors, and the newest that wheels name.
_MACOS = range(11, 27)
_ASKS = (
    "import json,platform,sys;"
    "print(json.dumps([sys.version_info[:2],platform.system(),platform.machine(),"
    "platform.libc_ver()]))"
)


def target(python: str | None, name: str | None, glibc: str = DEFAULT_GLIBC) -> TargetMachine:
    """The target that the options mean; this machine where they are ``None``.

    Raises ``UsageError`` where there is no such target.
    """
    version = python or f"{sys.version_info[0]}.{sys.version_info[1]}"
    minor = re.fullmatch(r"3\.(\d{2})", version)
    if minor is None or int(minor[1]) < 10:
        raise UsageError(
            f"A bundle can't be made for Python {version!r}.",
            "Stoker needs Python 3.10 or newer.",
            "Write it like 3.12.",
        )
    chosen = name or _name(platform.system(), platform.machine())
    if chosen not in PLATFORMS:
        raise UsageError(
            f"A bundle can't be made for {chosen!r}.",
            f"Possible are {', '.join(PLATFORMS)}.",
            "Name one: --platform linux-x86_64. On Windows, load it in WSL.",
        )
    if not re.fullmatch(r"2\.\d{1,2}", glibc):
        raise UsageError(f"{glibc!r} is no version of glibc.", "", "Write it like 2.28.")
    return TargetMachine(version, chosen, glibc if chosen.startswith("linux") else "")


def is_this_machine(wanted: TargetMachine) -> bool:
    """Whether pip on this Python reads the conditions of requirements as the target would."""
    here = target(None, None) if _known_here() else None
    return here is not None and (here.python, here.platform) == (wanted.python, wanted.platform)


def pip_tags(wanted: TargetMachine) -> list[str]:
    """The platform tags of wheels that run there, best first."""
    system, machine = wanted.platform.split("-")
    if system == "macos":
        return [
            f"macosx_{n}_0_{kind}" for n in reversed(_MACOS) for kind in (machine, "universal2")
        ]
    newest = int(wanted.glibc.partition(".")[2])
    numbered = [f"manylinux_2_{n}_{machine}" for n in range(newest, _OLDEST_GLIBC_MINOR - 1, -1)]
    return [*numbered, f"manylinux2014_{machine}", f"linux_{machine}"]


def uv_platform(wanted: TargetMachine) -> str:
    """What uv calls the platform."""
    system, machine = wanted.platform.split("-")
    if system == "macos":
        return "aarch64-apple-darwin"
    return f"{machine}-manylinux_{wanted.glibc.replace('.', '_')}"


def image_architecture(wanted: TargetMachine) -> str:
    """What container images call the target's CPU; a Mac runs them in a Linux of its own CPU."""
    return "amd64" if wanted.platform.endswith("x86_64") else "arm64"


def refuse_other_machine(wanted: TargetMachine, python: Path) -> None:
    """Raise ``StokerError`` where ``python`` is not of the machine that a bundle is for."""
    version, system, machine, libc = _asked(python)
    found = f"{version[0]}.{version[1]}"
    if _name(system, machine) != wanted.platform:
        raise _wrong_machine(
            wanted,
            f"It is for {wanted.platform}, and this machine is {_name(system, machine)}.",
            f"Make one for it: stoker bundle create --platform {_name(system, machine)}.",
        )
    if found != wanted.python:
        raise _wrong_machine(
            wanted,
            f"It is for Python {wanted.python}, and {python} is Python {found}.",
            f"Name a Python {wanted.python} with --python, or make a bundle for {found}.",
        )
    kind, has = libc
    if wanted.glibc and (kind != "glibc" or _numbers(has) < _numbers(wanted.glibc)):
        raise _wrong_machine(
            wanted,
            f"It needs glibc {wanted.glibc}, and this machine has {kind or 'another C library'} "
            f"{has}".rstrip()
            + ".",
            "Make one with an older glibc: stoker bundle create --glibc.",
        )


def _wrong_machine(wanted: TargetMachine, why: str, fix: str) -> StokerError:
    return StokerError("The bundle is for another machine.", why, fix)


def _asked(python: Path) -> tuple[list[int], str, str, list[str]]:
    try:
        done = subprocess.run(
            [python, "-I", "-c", _ASKS], capture_output=True, text=True, timeout=30, check=True
        )
        version, system, machine, libc = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise UsageError(
            f"{python} is not a Python that runs.", f"{error}.", "Name another with --python."
        ) from error
    return version, system, machine, libc


def _name(system: str, machine: str) -> str:
    systems = {"Linux": "linux", "Darwin": "macos"}
    machines = {"amd64": "x86_64", "arm64": "arm64" if system == "Darwin" else "aarch64"}
    lower = machine.lower()
    return f"{systems.get(system, system.lower())}-{machines.get(lower, lower)}"


def _known_here() -> bool:
    return _name(platform.system(), platform.machine()) in PLATFORMS


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
