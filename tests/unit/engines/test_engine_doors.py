"""No engine that Stoker starts is reached from outside this machine, or answers without the key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from tests.support import vllm_cpu

from stoker import engines
from stoker.engines import ContainerLaunch, Options, ProcessLaunch
from stoker.engines.llama_cpp import llama_launch, llama_worker, xllamacpp_package
from stoker.engines.vllm.in_engine.stoker_key_guard import OPEN_PATHS, KeyGuard
from stoker.engines.vllm.vllm_launch import KEY_GUARD
from stoker.errors import UsageError

KEY = "s3cret-of-this-start"
#: Its folder is named: the default one is that of a vLLM that is installed first.
PLAN = vllm_cpu.plan(Path("/m"))
PATHS = ("/v1/models", "/invocations", "/tokenize", "/metrics", "/version", "/ping", "/docs", "/")


def guarded(monkeypatch: pytest.MonkeyPatch) -> tuple[KeyGuard, list[str]]:
    """The guard before an application that notes what reaches it."""
    reached: list[str] = []

    async def app(scope: MutableMapping[str, Any], _receive: object, send: Any) -> None:
        reached.append(scope.get("path", scope["type"]))

    monkeypatch.setenv("VLLM_API_KEY", KEY)
    return KeyGuard(app), reached


def ask(guard: KeyGuard, path: str, *keys: bytes, kind: str = "http") -> list[Any]:
    sent: list[Any] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message.get("status", message["type"]))

    async def receive() -> MutableMapping[str, Any]:
        return {}

    headers = [(b"authorization", key) for key in keys]
    scope = {"type": kind, "path": path, "method": "OPTIONS", "headers": headers}
    asyncio.run(_called(guard, scope, receive, send))
    return sent


async def _called(guard: KeyGuard, *args: Any) -> None:
    await guard(*args)


def test_vllm_asks_for_the_key_on_every_path_and_method(monkeypatch: pytest.MonkeyPatch) -> None:
    guard, reached = guarded(monkeypatch)
    wrong = ((), (b"Bearer x",), (KEY.encode(),), (b"Bearer " + KEY.encode(), b"Bearer x"))
    for path in (*PATHS, "/health/../v1/models", "//health"):
        for keys in wrong:
            assert ask(guard, path, *keys)[0] == 401
        assert ask(guard, path, kind="websocket") == ["websocket.close"]
    assert ask(guard, "/health", kind="websocket") == ["websocket.close"]
    assert not reached
    for path in PATHS:
        assert not ask(guard, path, b"Bearer " + KEY.encode())
    assert not ask(guard, "/health")
    assert not ask(guard, "", kind="lifespan")
    assert reached == [*PATHS, "/health", ""]
    assert frozenset({"/health"}) == OPEN_PATHS


def test_vllm_does_not_start_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    with pytest.raises(RuntimeError, match="VLLM_API_KEY"):
        KeyGuard(None)  # type: ignore[arg-type]


def test_vllm_as_a_process_listens_on_loopback_and_loads_the_guard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/own")
    options = Options(python="/x/python")
    launch = engines.get("vllm").launch(PLAN, port=7, key=KEY, options=options)
    assert isinstance(launch, ProcessLaunch)
    argv = list(launch.argv)
    assert argv[argv.index("--host") + 1] == "127.0.0.1"
    assert argv[argv.index("--middleware") + 1] == KEY_GUARD
    assert KEY not in f"{launch!r} {launch.argv} {launch.parts}"
    folder, own = launch.env["PYTHONPATH"].split(":")
    module, _, name = KEY_GUARD.partition(".")
    assert own == "/own"
    assert f"class {name}:" in (Path(folder) / f"{module}.py").read_text()
    assert [file.name for file in Path(folder).iterdir() if file.suffix] == [f"{module}.py"]


def test_vllm_in_a_container_is_published_on_loopback_and_loads_the_guard() -> None:
    launch = engines.get("vllm").launch(PLAN, port=7, key=KEY, options=Options())
    assert isinstance(launch, ContainerLaunch)
    published = [flag.value for flag in launch.flags if flag.name == "--publish"]
    assert published == ["127.0.0.1:7:8000"]
    assert launch.command[launch.command.index("--middleware") + 1] == KEY_GUARD
    (mount,) = (mount for mount in launch.mounts if mount.target == launch.env["PYTHONPATH"])
    assert mount.read_only
    assert (Path(mount.source) / "stoker_key_guard.py").exists()


def test_no_volume_takes_the_place_of_the_guard() -> None:
    options = Options(volumes=("/mine:/stoker",))
    with pytest.raises(UsageError, match="/stoker in vLLM's container is taken"):
        engines.get("vllm").launch(PLAN, port=7, key=KEY, options=options)


def test_llama_cpp_listens_on_loopback_and_gets_its_key_by_a_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(xllamacpp_package, "installed", lambda: True)
    launch = llama_launch.launch(PLAN, port=7, key=KEY, options=Options())
    assert isinstance(launch, ProcessLaunch)
    assert KEY not in f"{launch!r} {launch.argv} {launch.env} {launch.parts}"

    class Params:
        model = type("Model", (), {})()

    params = Params()
    llama_worker.configure(params, {**json.loads(launch.stdin), "arguments": {}})
    assert vars(params)["hostnames"] == ["127.0.0.1"]
    assert vars(params)["api_keys"] == [KEY]


def test_vllm_leaves_open_what_a_site_names_and_nothing_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STOKER_OPEN_PATHS", "/metrics")
    guard, reached = guarded(monkeypatch)
    assert not ask(guard, "/metrics")
    # As servers pass paths on: decoded, and without the query.
    tricks: tuple[str, ...] = (
        "//metrics",
        "/metrics//",
        "/./metrics",
        "/metrics/../v1/models",
        "/METRICS",
    )
    tricks += ("/metrics\0", "/metrics\n", " /metrics", "/metrics?", "/metrics;v1", "/metrics#")
    tricks += ("/metrics%2f", "/%6detrics", "\\metrics", "/v1/../metrics", "metrics", "/metric")
    for path in ("/metrics/", "/metrics/x", "/v1/models", "/tokenize", "", ",", *tricks):
        assert ask(guard, path)[0] == 401
    assert ask(guard, "/metrics", kind="websocket") == ["websocket.close"]
    assert reached == ["/metrics"]
