"""The commands of the guides that are marked ``run`` do, as they are printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import guide_blocks


@pytest.mark.parametrize("page", guide_blocks.pages_with(""))
def test_the_marked_commands_of_a_page_run(page: str, tmp_path: Path, home: Path) -> None:
    done = guide_blocks.run(page, "", tmp_path, home / "stoker")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_command_that_fails_ends_the_page(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guide_blocks, "ROOT", tmp_path)
    page = "```sh\nfalse\n```\n```sh run\nstoker fly | cat\necho after\n```\n"
    (tmp_path / "page.md").write_text(page)
    done = guide_blocks.run("page.md", "", tmp_path, home / "stoker")
    assert done.returncode == 2
    assert "after" not in done.stdout
