"""A recording says whose it is, so that a wrong one can be traced and corrected."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: Of machines that Stoker itself was run on: nobody else published them.
OWN = ("linux-vm-no-gpu", "h100-idle", "h200-idle")
NAMES = sorted(p.stem for p in (Path(__file__).parents[2] / "fixtures" / "host").glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_recording_names_its_device_source_and_date(
    name: str, recording: Callable[[str], dict[str, Any]]
) -> None:
    found = recording(name)
    assert found["device"]
    assert found["source"].startswith("https://") or name in OWN
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", found["date"])


def test_the_machines_people_have_are_recorded() -> None:
    wanted = {"rtx-4060-laptop-wsl2", "rtx-3090-x2", "rtx-4090", "a100-40", "h100", "h200-x8"}
    assert wanted | {"mi300x", "arc-b580", "apple-m3", "linux-vm-no-gpu"} <= set(NAMES)
