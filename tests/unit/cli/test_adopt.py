"""``stoker adopt``: what it refuses before it looks at any server."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.conftest import write_deployment
from typer.testing import CliRunner

from stoker.cli import app
from stoker.errors import UsageError
from stoker.server import deployment_state


@pytest.fixture(autouse=True)
def _runs_here(home: Path) -> None:
    write_deployment(8123)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8123", "http://localhost:8123/v1/"])
def test_gateway_is_not_put_in_front_of_itself(address: str) -> None:
    """With --replace it would stop the very server that it is to adopt."""
    result = CliRunner().invoke(app, ["adopt", address, "--replace"])
    assert isinstance(result.exception, UsageError)
    assert "Stoker's own gateway" in result.exception.what
    assert "stoker code" in result.exception.fix
    left = deployment_state.read()
    assert left is not None and left.state.alive


def test_another_server_is_looked_at() -> None:
    result = CliRunner().invoke(app, ["adopt", "http://127.0.0.1:9", "--replace"])
    assert "Nothing answers at" in str(result.exception)
