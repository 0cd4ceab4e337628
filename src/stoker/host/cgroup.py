"""Where the control groups of this process are, in version 1, version 2 and hybrids of both."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from stoker.host.sysfs import read_text


def cgroup_directories(root: Path, controller: str) -> list[Path]:
    """The folders that limit this process, from its own cgroup up to the mount.

    Every level counts: a limit set on a parent holds for its children. Inside a container the
    path in ``/proc/self/cgroup`` may be the host's and not exist here; then only the mount is
    left, which is the container's own cgroup.
    """
    directories: list[Path] = []
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        mount = _mount(root, controllers, controller)
        if mount is not None:
            directories += _upwards(mount, path)
    return [directory for directory in directories if directory.is_dir()]


def _mount(root: Path, controllers: str, wanted: str) -> Path | None:
    base = root / "sys/fs/cgroup"
    if wanted in controllers.split(","):
        named = base / controllers
        return named if named.is_dir() else base / wanted
    return base if controllers == "" else None


def _upwards(mount: Path, path: str) -> list[Path]:
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
