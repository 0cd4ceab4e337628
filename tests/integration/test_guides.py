"""The commands of the guides that are marked ``run engine`` do, with the real llama.cpp."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import guide_blocks
from tests.support.real_models import share_cache

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("page", guide_blocks.pages_with("engine"))
def test_the_marked_commands_of_a_page_run(page: str, tmp_path: Path) -> None:
    home = tmp_path / "stoker"
    share_cache(home / "cache")
    done = guide_blocks.run(page, "engine", tmp_path, home)
    assert done.returncode == 0, done.stdout + done.stderr
