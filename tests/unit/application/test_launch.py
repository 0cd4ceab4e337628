"""The launch pipeline: values in, events out. Servers are real; only models are made up."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.reference_server import KEY, ReferenceServer

from stoker import models, server
from stoker.application import Choice, LaunchRequest, imagined_machine, launch, launch_events
from stoker.application.launch import LaunchSettings
from stoker.errors import StokerError
from stoker.models import DownloadProgress, Model
from stoker.planning import MemoryPrediction, Plan
from stoker.server import deployment_state, ports

MACHINE = imagined_machine("RTX 4090")
FIRST = Plan(
    Model("first", "gguf", "hub", "first"), "llama.cpp", 8192, 1, (), MemoryPrediction(0, 0, 0, 0)
)
SECOND = replace(FIRST, model=replace(FIRST.model, id="second"))


@pytest.fixture(autouse=True)
def _own_state(home: Path) -> Iterator[None]:
    deployment_state.state_folder()
    yield
    server.stop()


def settings(**changes: object) -> LaunchSettings:
    return replace(LaunchSettings(port=ports.any_free()), **changes)  # type: ignore[arg-type]


def names(events: list[launch_events.LaunchEvent]) -> list[str]:
    """The kinds of the events, each once in a row."""
    kinds = [type(event).__name__ for event in events]
    return [k for number, k in enumerate(kinds) if kinds[number - 1 : number] != [k]]


# --- adopting: a real server, a real gateway ------------------------------------------------------


def test_an_adopted_server_is_served_when_the_last_event_came() -> None:
    with ReferenceServer() as reference:
        where = settings()
        events = list(launch.adopt_server(reference.url, KEY, where, "SERVER_KEY"))
        assert names(events) == ["ServerRecognised", "Starting", "StateChanged", "Ready"]
        running = server.current()
        assert running is not None and running.state.status == "ready" and running.state.alive
        assert running.spec.endpoint == f"http://127.0.0.1:{where.port}"
        with pytest.raises(StokerError, match="Stoker's own gateway"):
            launch.recognise(running.spec.endpoint, None)
        assert launch.key_variable() == "SERVER_KEY"
        again = list(launch.restart(KEY))
        assert names(again) == ["Starting", "StateChanged", "Ready"]
        assert server.stop()


def test_a_launch_that_is_abandoned_while_it_starts_leaves_nothing_running() -> None:
    with ReferenceServer() as reference:
        events = launch.adopt_server(reference.url, KEY, settings())
        seen = [next(events) for _ in range(3)]
        assert isinstance(seen[-1], launch_events.StateChanged)
        supervisor = seen[-1].deployment.state.supervisor
        events.close()
        assert supervisor is not None and supervisor.process() is None
        assert server.current() is None


def test_nothing_is_started_before_the_reader_asks_for_it() -> None:
    with ReferenceServer() as reference:
        events = launch.adopt_server(reference.url, KEY, settings())
        assert isinstance(next(events), launch_events.ServerRecognised)
        events.close()
    assert server.current() is None


def test_restart_without_a_deployment_is_refused() -> None:
    with pytest.raises(StokerError, match="nothing to restart"):
        next(launch.restart())


# --- from a request to a start --------------------------------------------------------------------


@pytest.fixture
def _two_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best is ``first``; once it has failed, ``second``; then nothing."""

    def choose(request: LaunchRequest, _: object) -> Choice:
        left = [plan for plan in (FIRST, SECOND) if plan.model not in request.failed]
        if not left:
            raise StokerError("Nothing fits.")
        return Choice(request, MACHINE, None, tuple(left))

    monkeypatch.setattr(launch, "choose", choose)
    monkeypatch.setattr(launch, "this_machine", lambda **_: MACHINE)


def fetch_only(monkeypatch: pytest.MonkeyPatch, *available: str) -> None:
    def fetch(model: Model) -> Generator[DownloadProgress, None, Model]:
        yield from ()
        if model.id not in available:
            raise StokerError(f"{model.id} is gone.")
        return replace(model, path=Path("/m.gguf"))

    monkeypatch.setattr(models, "fetch", fetch)


@pytest.mark.usefixtures("_two_choices")
def test_a_source_that_fails_gives_way_to_the_next_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_only(monkeypatch, "second")
    asked = settings(engine_args=("n_predict=48",))
    events = launch.start_model(LaunchRequest(context=4096), asked)
    seen = [next(events) for _ in range(5)]
    events.close()
    assert names(seen) == ["DetectingHost", "Chosen", "SourceFailed", "Chosen", "Starting"]
    assert isinstance(seen[-1], launch_events.Starting)
    spec = seen[-1].spec
    assert spec.plan.model.id == "second"
    assert spec.plan.argument("n_predict") == 48
    assert spec.fixed == ("n-predict", "max-model-len")
    assert spec.requirements == launch.identity(LaunchRequest(context=4096), asked)


@pytest.mark.usefixtures("_two_choices")
def test_where_no_source_answers_the_first_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_only(monkeypatch)
    with pytest.raises(StokerError, match="first is gone"):
        list(launch.start_model(LaunchRequest(), settings()))


@pytest.mark.usefixtures("_two_choices")
def test_a_choice_that_the_reader_declines_is_not_downloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched: list[Model] = []
    monkeypatch.setattr(models, "fetch", fetched.append)
    events = launch.start_model(LaunchRequest(), settings())
    while not isinstance(next(events), launch_events.Chosen):
        pass
    events.close()
    assert fetched == []


def test_the_same_model_file_is_the_same_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    here = launch.identity(LaunchRequest(model="./m.gguf"), LaunchSettings())
    assert here == launch.identity(LaunchRequest(model=str(tmp_path / "m.gguf")), LaunchSettings())
    assert here != launch.identity(LaunchRequest(model="m"), LaunchSettings())
    assert here != launch.identity(LaunchRequest(model="./m.gguf", users=2), LaunchSettings())
