"""The steps of a bundle's work, as lines where there is no terminal."""

from __future__ import annotations

import pytest

from stoker.cli.render.bundle_progress import BundleProgress


def test_each_step_is_named_once_and_its_end_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with BundleProgress(quiet=False) as progress:
        for done in (1 << 20, 2 << 20, 3 << 20):
            progress("verify", done, 3 << 20)
        progress("install", 0, None)
        progress("install", 0, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "verify"
    assert lines[-2:] == ["  verify 3 MiB of 3 MiB", "install"]


def test_nothing_is_shown_beside_json(capsys: pytest.CaptureFixture[str]) -> None:
    with BundleProgress(quiet=True) as progress:
        progress("verify", 3, 3)
    assert capsys.readouterr().out == ""
