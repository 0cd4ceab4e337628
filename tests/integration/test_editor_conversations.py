"""No conversation that an editor produces is dead, whatever the model's template refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.conftest import Stoker
from tests.integration.editor_conversations import KINDS, dead

pytestmark = pytest.mark.engine
FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.mark.parametrize("template", ["chatml_hermes", "roles_in_turn", "no_system_role", None])
def test_forty_kinds_of_conversations_go_on_for_three_turns(
    stoker: Stoker, quick_smollm2: str, template: str | None
) -> None:
    assert len(KINDS) == 40
    source = (FIXTURES / f"{template}.jinja").read_text() if template else ""
    arguments = ("--engine-arg", f"chat_template={source}") if source else ()
    stoker.up(quick_smollm2, "--context", "4096", "--parallel", "1", *arguments)
    assert list(dead(stoker)) == []
