"""An engine's module has all that ``base`` asks for, which would show only at run time."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import stoker
from stoker import engines
from stoker.engines.base import Engine, ServerClient


def members(protocol: type) -> dict[str, object]:
    annotated = dict.fromkeys(protocol.__annotations__)
    return annotated | {n: v for n, v in vars(protocol).items() if not n.startswith("_")}


@pytest.mark.parametrize("name", sorted(engines.ENGINES))
def test_engine_has_the_name_of_its_row(name: str) -> None:
    engine = engines.lookup(name)
    assert isinstance(engine, Engine)
    assert engine.name == name


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


def test_what_stoker_starts_it_also_plans_for() -> None:
    assert {e.name for e in engines.started()} == {"vllm", "llama.cpp"}
    assert {e.name for e in engines.planned()} == {"vllm", "llama.cpp", "ollama"}


def test_no_code_outside_of_the_engines_names_one() -> None:
    """Not even for a comparison: such a fact belongs to the engine (``base.Engine``)."""
    package = Path(stoker.__file__).parent
    names = set(engines.ENGINES) - {"stoker", "openai"}  # also a program, and an API
    found = [
        f"{path.relative_to(package)}:{node.lineno} {node.value}"
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] != "engines"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert found == []
