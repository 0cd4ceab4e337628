"""Saved slots are shared by starts of the same model, build and arguments only."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from stoker import engines
from stoker.engines import Backend, Options, ProcessLaunch
from stoker.engines.llama_cpp import llama_launch, llama_slots, xllamacpp_package
from stoker.engines.llama_cpp.llama_memory import slot_bytes_per_token
from stoker.models import AttentionLayers
from stoker.models.gguf_catalogue import entries
from stoker.planning import Argument, MemoryPrediction, Plan

CODER = next(e.model for e in entries() if e.model.id == "qwen2.5-coder-0.5b")


def argument(name: str, value: Any) -> Argument:
    return Argument(name, value, "a reason")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    path = tmp_path / "model.gguf"
    path.write_bytes(bytes(range(256)) * 4096)
    os.utime(path, (1000, 1000))
    arguments = (argument("n_ctx", 8192), argument("cache_type_k", 1), argument("n_batch", 512))
    memory = MemoryPrediction(1, 2, 3, 6)
    model = replace(CODER, path=path)
    return Plan(model, "llama.cpp", 4096, 2, arguments, memory, slot_bytes_per_token=12_288)


def changed(plan: Plan, name: str, value: Any) -> Plan:
    others = tuple(a for a in plan.arguments if a.name != name)
    return replace(plan, arguments=(*others, argument(name, value)))


def test_the_same_start_has_the_same_key(plan: Plan) -> None:
    assert llama_slots.key(plan) == llama_slots.key(plan)
    assert llama_slots.key(plan) == llama_slots.key(changed(plan, "n_batch", 256))
    assert llama_slots.key(plan) == llama_slots.key(changed(plan, "cache_ram_mib", 77))


def test_nothing_is_kept_where_the_model_drafts_with_its_own_head(plan: Plan) -> None:
    assert llama_slots.key(changed(plan, "speculative.types", "draft-mtp")) is None
    assert llama_slots.key(changed(plan, "speculative.types", "none")) is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_ctx", 4096), ("cache_type_k", 8), ("rope_freq_base", 5), ("chat_template", "x")],
)
def test_another_argument_has_another_key(plan: Plan, name: str, value: Any) -> None:
    assert llama_slots.key(plan) != llama_slots.key(changed(plan, name, value))


def other_time(path: Path) -> None:
    os.utime(path, (1001, 1001))


def other_size(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")
    os.utime(path, (1000, 1000))


def other_weights(path: Path) -> None:
    """Of the same name, size and time, as a fine-tuned model may be."""
    path.write_bytes(bytes(reversed(range(256))) * 4096)
    os.utime(path, (1000, 1000))


@pytest.mark.parametrize("change", [other_time, other_size, other_weights])
def test_another_model_of_the_same_name_has_another_key(plan: Plan, change: Any) -> None:
    before = llama_slots.key(plan)
    change(plan.model.path)
    assert llama_slots.key(plan) != before


def test_another_build_has_another_key(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "xllamacpp.so"
    library.write_bytes(b"build 1" * 1000)
    monkeypatch.setattr(llama_slots, "_library", lambda: [library])
    before = llama_slots.key(plan)
    library.write_bytes(b"build 2" * 1000)
    assert llama_slots.key(plan) != before


def test_the_installed_build_is_a_part_of_the_key() -> None:
    if not xllamacpp_package.installed():
        pytest.skip("there is no build")
    assert llama_slots._library()


def test_a_user_who_sets_the_folder_keeps_or_does_without_files(plan: Plan) -> None:
    assert llama_slots.key(changed(plan, "slot_save_path", "/own/")) is None
    assert llama_slots.key(changed(plan, "slot-save-path", "")) is None


def test_nothing_is_kept_of_a_model_that_is_not_a_file(plan: Plan) -> None:
    assert llama_slots.key(replace(plan, model=replace(plan.model, path=None))) is None
    gone = replace(plan, model=replace(plan.model, path=Path("/nowhere/model.gguf")))
    with pytest.raises(FileNotFoundError):
        llama_slots.key(gone)


def test_only_models_whose_layers_keep_the_whole_context_are_kept() -> None:
    architecture = CODER.architecture
    assert architecture is not None
    # 24 layers, 2 heads, 64 elements of key and value each, 2 bytes.
    assert slot_bytes_per_token(architecture, "f16") == 24 * 2 * 64 * 2 * 2
    sliding = AttentionLayers("sliding", 12, 2, 64, 64, window_tokens=512)
    mixed = replace(architecture, attention=(*architecture.attention, sliding))
    assert slot_bytes_per_token(mixed, "f16") is None
    unknown = replace(architecture, attention=())
    assert slot_bytes_per_token(unknown, "f16") is None


def test_the_engine_gets_the_folder_with_the_reason(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xllamacpp_package, "installed", lambda: True)
    options = Options(slot_folder="/cache/prompts/key")
    launch = llama_launch.launch(plan, port=1, key="", options=options)
    assert isinstance(launch, ProcessLaunch)
    assert '"slot_save_path": "/cache/prompts/key/"' in launch.stdin
    assert [a for a in launch.parts if a.name == "slot_save_path" and a.reason]
    without = llama_launch.launch(plan, port=1, key="", options=Options())
    assert isinstance(without, ProcessLaunch) and "slot_save_path" not in without.stdin


async def test_slots_are_spoken_to_as_llama_cpp_answers() -> None:
    """The answers are those of build b11549."""
    asked: list[tuple[str, Any]] = []

    async def slots(_: web.Request) -> web.Response:
        idle = {"id": 1, "n_ctx": 8192, "is_processing": False, "n_prompt_tokens": 2700}
        busy = {"id": 2, "n_ctx": 8192, "is_processing": True, "n_prompt_tokens": 99}
        unused = {"id": 0, "n_ctx": 8192, "is_processing": False}
        return web.json_response([unused, idle, busy])

    async def act(request: web.Request) -> web.Response:
        asked.append((request.path_qs, await request.json()))
        if request.query["action"] == "save":
            timings = {"save_ms": 172.6}
            return web.json_response({"n_saved": 2700, "n_written": 62251976, "timings": timings})
        return web.json_response({"n_restored": 2700, "n_read": 62251976})

    app = web.Application()
    app.router.add_get("/slots", slots)
    app.router.add_post("/slots/{id}", act)
    files = engines.lookup("llama.cpp").slot_files
    assert files is not None
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        backend = Backend(str(server.make_url("")).rstrip("/"), "llama.cpp")
        assert await files.held(http, backend) == {1: 2700}
        saved = await files.save(http, backend, 1, "a.slot")
        assert (saved.tokens, saved.size_bytes) == (2700, 62251976)
        assert saved.seconds == pytest.approx(0.1726)
        assert await files.restore(http, backend, 0, "a.slot") == 2700
    assert asked == [
        ("/slots/1?action=save", {"filename": "a.slot"}),
        ("/slots/0?action=restore", {"filename": "a.slot"}),
    ]
