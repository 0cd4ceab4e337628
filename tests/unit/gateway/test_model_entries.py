"""The models that clients are shown, and the name that outlives every model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import Call, Front, answer, front, running
from tests.unit.gateway.test_backend_faults import fine
from yarl import URL

from stoker.engines import Backend, ServedModel
from stoker.gateway import FitSettings, Gateway, Served
from stoker.gateway.model_aliases import ModelAliases

CODER = ServedModel("coder", max_model_len=8192, tools="native", fill_in_the_middle=True)
EMBEDDER = ServedModel("embedder", max_model_len=512, tools="none", chat=False)


async def says_its_name(call: Call) -> None:
    """As vLLM does: the answer names the model that the request named."""
    received = {
        "model": call.body["model"],
        "choices": [{"index": 0, "message": {"content": "Hi"}}],
    }
    await call.send(answer(orjson.dumps(received)))


@asynccontextmanager
async def serving(
    *models: ServedModel, fit: FitSettings | None = None, engine: str = "openai"
) -> AsyncIterator[tuple[Front, list[Call], Gateway]]:
    """A gateway in front of one backend with these models, and the requests that reach it."""
    async with running(says_its_name) as (backend,):
        door = Gateway()
        door.serve([Served(Backend(backend.url, engine), models, fit or FitSettings())])
        async with front(door) as served:
            yield served, backend.calls, door


async def listed(served: Front, path: str = "/v1/models", key: str = "data") -> list[Any]:
    async with served.http.get(served.url + path) as response:
        found: list[Any] = (await response.json())[key]
        return found


async def test_local_stands_last_and_is_else_the_model_that_it_stands_for() -> None:
    async with serving(EMBEDDER, CODER) as (served, _, _):
        for path, key in (("/v1/models", "data"), ("/info", "models")):
            embedder, coder, local = await listed(served, path, key)
            assert (embedder["id"], coder["id"]) == ("embedder", "coder")
            assert local == {**coder, "id": "local", "root": "coder"}


async def test_one_model_is_found_by_its_name() -> None:
    named = ServedModel("org/m", max_model_len=8192)
    async with serving(named, EMBEDDER) as (served, _, _):
        first, second, local = await listed(served)
        for name, entry in (("org/m", first), ("org%2Fm", first), ("embedder", second)):
            async with served.http.get(URL(f"{served.url}/v1/models/{name}", encoded=True)) as got:
                assert await got.json() == entry
        async with served.http.get(f"{served.url}/v1/models/local") as got:
            assert await got.json() == local
        async with served.http.get(f"{served.url}/v1/models/orgm") as got:
            error = (await got.json())["error"]
            assert (got.status, error["code"]) == (404, "model_not_found")
            assert "Did you mean 'org/m'?" in error["message"]


async def test_entry_has_what_clients_of_openai_and_anthropic_demand() -> None:
    async with serving(CODER) as (served, _, _):
        entry, _ = await listed(served)
    assert (entry["object"], entry["created"]) == ("model", 0)
    assert (entry["type"], entry["display_name"]) == ("model", "coder")
    assert datetime.fromisoformat(entry["created_at"].replace("Z", "+00:00")).timestamp() == 0


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/infill"]
)
async def test_local_is_answered_by_the_model_that_it_stands_for(path: str) -> None:
    asked = dict.fromkeys(("prompt", "input"), "Hi")
    body = {"model": "local", "messages": [{"role": "user", "content": "Hi"}], **asked}
    async with serving(CODER) as (served, calls, _):
        reply = await served.post(orjson.dumps(body), path)
        assert orjson.loads(reply.body)["model"] == "coder"
        assert [call.body["model"] for call in calls] == ["coder"]


ALIASES = ModelAliases({"claude-*": "local", "claude-3": "embedder", "gone": "missing"})


@pytest.mark.parametrize(
    ("name", "model"),
    [("claude-sonnet-4-5", "coder"), ("claude-3", "embedder"), ("coder", "coder")],
)
async def test_owner_lets_a_model_answer_to_other_names(name: str, model: str) -> None:
    async with serving(CODER, EMBEDDER) as (served, calls, door):
        door.use_aliases(ALIASES)
        await served.post(orjson.dumps({"model": name, "input": "x"}), "/v1/embeddings")
        assert [call.body["model"] for call in calls] == [model]
        async with served.http.get(f"{served.url}/v1/models/{name}") as got:
            assert (await got.json())["id"] == model


async def test_name_without_an_alias_and_alias_without_a_model_are_refused() -> None:
    async with serving(CODER) as (served, _, door):
        door.use_aliases(ALIASES)
        for name, missing in (("gpt", "gpt"), ("gone", "missing")):
            error = (await served.chat(model=name)).error
            assert error["code"] == "model_not_found"
            assert f"{missing!r} is not served here" in error["message"]


async def test_real_model_goes_before_an_alias_of_its_name() -> None:
    async with serving(CODER, EMBEDDER) as (served, calls, door):
        door.use_aliases(ModelAliases({"*": "embedder"}))
        await served.chat(model="coder")
        assert calls[0].body["model"] == "coder"


async def test_local_survives_a_change_of_model() -> None:
    async with serving(CODER) as (served, calls, door):
        assert (await served.chat(model="local")).status == 200
        other = ServedModel("other", max_model_len=8192)
        door.serve([Served(door.pool.backends[0].endpoint, [other])])
        assert (await served.chat(model="local")).status == 200
        assert (await served.chat(model="coder")).error["code"] == "model_not_found"
        assert [call.body["model"] for call in calls] == ["coder", "other"]


async def test_a_model_that_is_really_called_local_is_the_only_one() -> None:
    async with serving(CODER, ServedModel("local", max_model_len=4096)) as (served, calls, _):
        assert [(e["id"], "root" in e) for e in await listed(served)] == [
            ("coder", False),
            ("local", False),
        ]
        await served.chat(model="local")
        assert calls[0].body["model"] == "local"


async def test_local_is_not_offered_where_nothing_chats() -> None:
    async with serving() as (served, _, _):
        assert await listed(served) == []
    async with serving(EMBEDDER) as (served, _, _):
        (only,) = await listed(served)
        assert (only["capabilities"]["chat"], only["capabilities"]["tools"]) == (False, "none")
        assert (await served.chat(model="local")).error["code"] == "model_not_found"


async def test_beside_several_models_local_is_answered_and_not_listed() -> None:
    async with serving(CODER, ServedModel("other")) as (served, calls, _):
        assert [entry["id"] for entry in await listed(served)] == ["coder", "other"]
        assert (await served.chat(model="local")).status == 200
        assert calls[0].body["model"] == "coder"


async def test_local_means_a_model_that_is_up_where_there_is_one() -> None:
    async with running(fine, says_its_name) as (first, second):
        door = Gateway()
        door.serve(
            [
                Served(Backend(first.url, "openai"), [CODER]),
                Served(Backend(second.url, "openai"), [ServedModel("other")]),
            ]
        )
        async with front(door) as served:
            assert [entry["id"] for entry in await listed(served)] == ["coder", "other"]
            door.pool.backends[0].healthy = False
            assert [entry["id"] for entry in await listed(served)] == ["other", "coder"]
            assert (await served.chat(model="local")).status == 200
            assert len(second.calls) == 1


async def test_unknown_names_are_refused_as_before_and_local_is_not_guessed() -> None:
    async with serving(CODER) as (served, _, _):
        error = (await served.chat(model="codr")).error
        assert error["code"] == "model_not_found"
        assert "'coder'" in error["message"]


@pytest.mark.parametrize(
    ("window", "enabled", "fits"), [(8192, True, True), (8192, False, False), (None, True, False)]
)
async def test_fits_where_the_gateway_itself_makes_prompts_fit(
    window: int | None, enabled: bool, fits: bool
) -> None:
    model, settings = ServedModel("m", max_model_len=window), FitSettings(enabled=enabled)
    async with serving(model, fit=settings, engine="vllm") as (served, _, _):
        assert [e["capabilities"]["fits"] for e in await listed(served)] == [fits, fits]


async def test_fits_no_more_once_it_shows_that_nothing_can_count() -> None:
    async with serving(CODER) as (served, _, _):
        assert (await listed(served))[0]["capabilities"]["fits"]
        long = [{"role": "user", "content": "word " * 20_000}]
        assert (await served.chat(messages=long)).status == 200  # sent as it is
        assert not (await listed(served))[0]["capabilities"]["fits"]


async def test_infill_is_what_the_engine_reports() -> None:
    async with serving(CODER, ServedModel("prose")) as (served, _, _):
        assert [e["capabilities"]["infill"] for e in await listed(served)] == [True, False]


async def test_infill_is_left_out_of_a_chat_model_that_has_the_tokens_alone() -> None:
    chat = replace(CODER, id="qwen3-8b")
    async with serving(CODER, chat, ServedModel("prose")) as (served, _, _):
        found = {e["id"]: e["capabilities"]["infill"] for e in await listed(served)}
    assert found == {"coder": True, "qwen3-8b": False, "prose": False}
