"""An engine is one module with all of the protocol: what is missing would show only at run time."""

from __future__ import annotations

import inspect

import pytest

from stoker import engines
from stoker.engines.base import Launcher, ServerClient


def members(protocol: type) -> dict[str, object]:
    annotated = dict.fromkeys(protocol.__annotations__)
    return annotated | {n: v for n, v in vars(protocol).items() if not n.startswith("_")}


@pytest.mark.parametrize("name", sorted(engines.ENGINES))
def test_engine_speaks_all_of_the_protocol(name: str) -> None:
    server_client = engines.server_client(name)
    assert server_client.name == name
    for member, expected in members(ServerClient).items():
        found = getattr(server_client, member)
        if inspect.isfunction(expected):
            assert inspect.iscoroutinefunction(found) == inspect.iscoroutinefunction(expected)
            wanted = list(inspect.signature(expected).parameters)[1:]
            assert list(inspect.signature(found).parameters) == wanted, member


@pytest.mark.parametrize("name", engines.STARTED)
def test_engine_that_stoker_starts_can_be_launched(name: str) -> None:
    engine = engines.get(name)
    for member in members(Launcher):
        assert hasattr(engine, member), member
