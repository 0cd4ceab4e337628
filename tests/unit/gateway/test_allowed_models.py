"""What a key's list of models hides: a model outside it does not exist for its holder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import Call, Front, Reply, front, running
from tests.unit.gateway.test_model_entries import EMBEDDER, says_its_name

from stoker.access.api_keys import Keys, hash_of
from stoker.access.caller import Caller
from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served
from stoker.gateway.model_aliases import ModelAliases

SMALL = ServedModel("qwen-small", max_model_len=8192, tools="native")
SECRET = ServedModel("secret-13b", max_model_len=8192, tools="native")
CALLERS = {
    "all": Caller("boss"),
    "qwen": Caller("ann", models=("qwen*",)),
    "viewer": Caller("vera", role="viewer", models=("qwen*",)),
    "none": Caller("eve", models=("gone",)),
}


@asynccontextmanager
async def gateway() -> AsyncIterator[tuple[Front, list[Call]]]:
    """Two backends, of which the first serves only what ``qwen`` may not use."""
    door = Gateway(Keys({hash_of(key): caller for key, caller in CALLERS.items()}))
    door.use_aliases(ModelAliases({"claude-*": "secret-13b", "gpt-*": "local"}))
    async with running(says_its_name, says_its_name) as (one, two):
        door.serve(
            [
                Served(Backend(one.url, "openai"), [SECRET]),
                Served(Backend(two.url, "openai"), [SMALL, EMBEDDER]),
            ]
        )
        async with front(door) as served:
            yield served, one.calls


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def get(served: Front, path: str, key: str) -> Reply:
    async with served.http.get(served.url + path, headers=with_key(key)) as response:
        return Reply(response.status, dict(response.headers), await response.read())


async def ask(
    served: Front, model: str | None, key: str, path: str = "/v1/chat/completions"
) -> Reply:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    if model is not None:
        body["model"] = model
    return await served.post(orjson.dumps(body), path, with_key(key))


@pytest.mark.parametrize("path", ["/v1/models", "/info"])
async def test_lists_hold_what_the_caller_may_use(path: str) -> None:
    async with gateway() as (served, _):
        everything = await get(served, path, "all")
        assert b"secret" in everything.body and b"embedder" in everything.body
        some = await get(served, path, "qwen")
        assert b"qwen-small" in some.body
        assert b"secret" not in some.body and b"embedder" not in some.body
        nothing = await get(served, path, "none")
        assert nothing.status == 200
        assert b"qwen" not in nothing.body


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions", "/v1/messages", "/tokenize", "/fit", "/v1/messages/count_tokens"],
)
@pytest.mark.parametrize("hidden", ["secret-13b", "claude-opus"])
async def test_a_model_outside_the_list_is_answered_like_one_that_does_not_exist(
    path: str, hidden: str
) -> None:
    async with gateway() as (served, calls):
        refused = await ask(served, hidden, "qwen", path)
        unknown = await ask(served, "secret-14b", "qwen", path)
        assert refused.status == unknown.status == 404
        assert b"served here" in refused.body
        wanted = b"secret-13b"  # an alias that hides its model is answered by the model's name
        assert refused.body.replace(wanted, b"NAME") == unknown.body.replace(b"secret-14b", b"NAME")
        assert calls == []


async def test_one_hidden_model_looks_like_an_unknown_one_at_its_own_path() -> None:
    async with gateway() as (served, _):
        assert (await get(served, "/v1/models/qwen-small", "qwen")).status == 200
        hidden = await get(served, "/v1/models/secret-13b", "qwen")
        unknown = await get(served, "/v1/models/secret-14b", "qwen")
        assert hidden.status == unknown.status == 404
        assert hidden.body.replace(b"13b", b"") == unknown.body.replace(b"14b", b"")


@pytest.mark.parametrize("name", ["local", "gpt-4o", None])
async def test_local_and_no_name_mean_a_model_that_the_caller_may_use(name: str | None) -> None:
    async with gateway() as (served, _):
        answer = await ask(served, name, "qwen")
        assert answer.status == 200
        assert orjson.loads(answer.body)["model"] == "qwen-small"


async def test_the_holder_of_a_key_that_opens_no_model_learns_that_and_no_name() -> None:
    async with gateway() as (served, _):
        answers = [await ask(served, name, "none") for name in (None, "local", "secret-13b")]
        assert {answer.status for answer in answers} == {404}
        (body,) = {answer.body for answer in answers}
        assert b"opens no model" in body and b"secret" not in body


async def test_metrics_of_all_models_are_for_those_who_may_see_what_runs() -> None:
    async with gateway() as (served, _):
        statuses = [(await get(served, "/metrics", key)).status for key in CALLERS]
        assert statuses == [200, 403, 200, 403]
