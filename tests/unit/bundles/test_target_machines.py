"""The machine that a bundle is for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging import tags

from stoker.bundles import target_machines
from stoker.bundles.bundle_manifest import TargetMachine
from stoker.errors import StokerError, UsageError

HERE = target_machines.target(None, None, "2.17")
PYTHON = Path(sys.executable)


def test_this_machine_is_its_own_target() -> None:
    assert target_machines.is_this_machine(HERE)
    target_machines.refuse_other_machine(HERE, PYTHON)


def test_its_wheels_run_here() -> None:
    here = {tag.platform for tag in tags.sys_tags()}
    assert set(target_machines.pip_tags(HERE)) <= here


@pytest.mark.parametrize(
    ("target", "best", "holds"),
    [
        (
            TargetMachine("3.12", "linux-aarch64", "2.28"),
            "manylinux_2_28_aarch64",
            "manylinux2014_aarch64",
        ),
        (TargetMachine("3.12", "linux-x86_64", "2.17"), "manylinux_2_17_x86_64", "linux_x86_64"),
        (TargetMachine("3.12", "macos-arm64"), "macosx_26_0_arm64", "macosx_11_0_universal2"),
    ],
)
def test_the_tags_of_other_machines(target: TargetMachine, best: str, holds: str) -> None:
    found = target_machines.pip_tags(target)
    assert found[0] == best
    assert holds in found


OTHERS = {
    "another CPU": (TargetMachine(HERE.python, "linux-riscv64"), "linux-riscv64"),
    "another Python": (TargetMachine("3.99", HERE.platform), "Python 3.99"),
    "a newer glibc": (TargetMachine(HERE.python, HERE.platform, "2.99"), "glibc 2.99"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_bundle_for_another_machine_is_refused(what: str) -> None:
    target, reason = OTHERS[what]
    with pytest.raises(StokerError) as refused:
        target_machines.refuse_other_machine(target, PYTHON)
    assert refused.value.what == "The bundle is for another machine."
    assert reason in refused.value.why


@pytest.mark.parametrize("words", [("2.7", None), ("3.9", None), ("three", None), (None, "amiga")])
def test_a_target_that_stoker_cannot_serve_is_refused(words: tuple[str | None, str | None]) -> None:
    with pytest.raises(UsageError):
        target_machines.target(*words)


def test_what_is_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a Python"):
        target_machines.refuse_other_machine(HERE, tmp_path / "python")
