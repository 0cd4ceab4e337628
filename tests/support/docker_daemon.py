"""A Docker daemon of the test's own, with private folders, and images made without a registry.

Needs root, as ``dockerd`` does. Nothing of the machine's own Docker is used or changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import docker
import docker.errors
from docker.models.containers import Container
from tests.support import vllm_cpu

_SCRIPTS = Path(__file__).parents[2] / "scripts"
_SUITE = "bookworm"
#: What a container needs beside Debian's minimum: Python, and the library that vLLM's CPU
#: kernels are linked with.
_PACKAGES = ("python3", "python3-venv", "ca-certificates", "libnuma1")
#: What the images of a deployed site are made from.
_SERVERS = ("postgresql", "redis-server", "nginx-light", "openssl")
#: A machine of its own, where systemd is the first process.
_SYSTEMD = ("systemd", "systemd-sysv", "procps", "iproute2")
BASE_IMAGE = "stoker-test-base:latest"
SITE_IMAGE = "stoker-test-site:latest"
VLLM_IMAGE = "stoker-test-vllm-cpu:latest"
LLAMA_IMAGE = "stoker-test-llama-cpp:latest"
_START_S = 60


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start ``dockerd`` with all its files in ``folder``; the endpoint to reach it at."""
    subprocess.run([_SCRIPTS / "install-docker.sh"], check=True, stdout=sys.stderr)
    endpoint = f"unix://{folder}/docker.sock"
    with (folder / "dockerd.log").open("wb") as log:
        folders = [f"--data-root={folder}/data", f"--exec-root={folder}/exec"]
        daemon = subprocess.Popen(
            ["dockerd", *folders, f"--host={endpoint}", f"--pidfile={folder}/pid"],
            stdout=log,
            stderr=log,
        )
    try:
        _await(endpoint, daemon, folder / "dockerd.log")
        yield endpoint
    finally:
        daemon.terminate()
        daemon.wait(timeout=60)


def pause(container: Container) -> None:
    """Pause a container. The runtime gives up on busy processes: it is asked again."""
    for last in (False, False, False, True):
        try:
            container.pause()
        except docker.errors.APIError:
            if last:
                raise
            time.sleep(1)
        else:
            return


def import_base(endpoint: str) -> None:
    """A small Debian with Python, as ``BASE_IMAGE``."""
    _import(endpoint, BASE_IMAGE, ["CMD sleep infinity"])


def import_site(endpoint: str) -> None:
    """A Debian with the servers of a deployed site and systemd, as ``SITE_IMAGE``."""
    _import(endpoint, SITE_IMAGE, ["CMD sleep infinity"], (*_PACKAGES, *_SERVERS, *_SYSTEMD))


def import_vllm(endpoint: str) -> tuple[str, ...]:
    """vLLM's CPU image, as ``VLLM_IMAGE``: the base, with vLLM's server as its entrypoint.

    The 3 GB of vLLM itself stay on the host: the folders that are returned are to be mounted.
    """
    python = vllm_cpu.installed().python
    _import(
        endpoint, VLLM_IMAGE, [f'ENTRYPOINT ["{python}","-m","vllm.entrypoints.openai.api_server"]']
    )
    return tuple(f"{folder}:{folder}:ro" for folder in vllm_folders())


def import_llama(endpoint: str) -> tuple[str, ...]:
    """llama.cpp's server image, as ``LLAMA_IMAGE``: its variables, folder and entrypoint.

    Of ``.devops/cpu.Dockerfile`` but for what is run, ``llama_server``, which is mounted with
    xllamacpp: the folders that are returned.
    """
    changes = [
        "ENV LLAMA_ARG_HOST=0.0.0.0",
        "WORKDIR /app",
        'ENTRYPOINT ["python3","/app/llama-server"]',
    ]
    _import(endpoint, LLAMA_IMAGE, changes)
    package = importlib.util.find_spec("xllamacpp")
    assert package is not None and package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]).resolve()
    program = Path(__file__).with_name("llama_server.py")
    # The image installs it (libgomp1); Debian's minimum has no such library.
    openmp = Path("/usr/lib", sysconfig.get_config_var("MULTIARCH"), "libgomp.so.1")
    return (
        f"{openmp.resolve()}:{openmp}:ro",
        f"{folder}:/usr/lib/python3/dist-packages/xllamacpp:ro",
        f"{program}:/app/llama-server:ro",
    )


def vllm_folders() -> list[str]:
    """The folder of the environment with vLLM, then that of its Python where no image has it."""
    python = vllm_cpu.installed().python
    base = subprocess.run(
        [python, "-c", "import sys; print(sys.base_prefix)"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    folders = [str(Path(python).parents[1])]
    if base != "/usr":  # Debian's own Python is in the image already
        folders.append(base)
    return folders


def _import(
    endpoint: str, image: str, changes: list[str], packages: Sequence[str] = _PACKAGES
) -> None:
    repository, _, tag = image.partition(":")
    with docker.APIClient(base_url=endpoint, timeout=300) as client:
        client.import_image_from_file(
            str(_base_tar(packages)), repository=repository, tag=tag, changes=changes
        )


def _base_tar(packages: Sequence[str]) -> Path:
    """Made with debootstrap from the mirror that this machine uses; kept, as it takes minutes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_of = hashlib.sha256(" ".join((_SUITE, *packages)).encode()).hexdigest()[:8]
    tar = cache / "stoker" / "docker-base" / f"{sysconfig.get_platform()}-{made_of}.tar"
    if tar.exists():
        return tar
    tar.parent.mkdir(parents=True, exist_ok=True)
    root = tar.with_suffix(".root")
    subprocess.run(["rm", "-rf", root], check=True)
    include = f"--include={','.join(packages)}"
    subprocess.run(
        ["debootstrap", "--variant=minbase", include, _SUITE, root, mirror()],
        check=True,
        stdout=sys.stderr,
    )
    partial = tar.with_suffix(".partial")
    subprocess.run(["tar", "-C", root, "-cf", partial, "."], check=True)
    subprocess.run(["rm", "-rf", root], check=True)
    return partial.rename(tar)


def mirror() -> str:
    """The first archive that apt is configured to take the suite's main packages from."""
    columns = "$(RELEASE) $(COMPONENT) $(REPO_URI)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", columns, "Created-By: Packages"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.splitlines()
    rows = [line.split() for line in listed]
    return next(row[2] for row in rows if row[:2] == [_SUITE, "main"])


def _await(endpoint: str, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(docker.errors.DockerException):
            docker.DockerClient(base_url=endpoint).ping()
            return
        if daemon.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError(f"dockerd did not start:\n{log.read_text()[-3000:]}")


def wait_for(what: Callable[[], bool], within_s: float) -> bool:
    """Whether it becomes true in that time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.3)
    return False
