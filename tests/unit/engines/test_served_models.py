"""What servers of many kinds serve: context lengths, abilities, and models that answer no chats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from stoker.engines import Recognised, ServedModel
from stoker.engines.server_detection import recognise

Answer = Callable[[web.Request, Any], Any]


async def look(answers: Mapping[str, Any]) -> Recognised:
    """Recognise a server with these answers; a number is a status, all other paths are 404."""

    async def answer(request: web.Request) -> web.Response:
        found = answers.get(f"{request.method} {request.path}", 404)
        if callable(found):
            body = await request.json() if request.can_read_body else None
            found = found(request, body)
        if isinstance(found, web.Response):
            return found
        if isinstance(found, int):
            return web.json_response({"error": "no"}, status=found)
        return web.json_response(found)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        return await recognise(str(server.make_url("")))


def listing(*entries: Mapping[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(entries)}


def by_name(found: Recognised) -> dict[str, ServedModel]:
    return {model.id: model for model in found.models}


def ollama(shown: Mapping[str, Any], loaded: Mapping[str, int] | None = None) -> dict[str, Any]:
    running = [{"name": name, "context_length": n} for name, n in (loaded or {}).items()]
    return {
        "GET /v1/models": listing(*({"id": name, "owned_by": "library"} for name in shown)),
        "GET /api/version": {"version": "0.21.0"},
        "GET /api/ps": {"models": running},
        "GET /api/tags": {"models": [{"name": name} for name in shown]},
        "POST /api/show": lambda _, body: shown[body["model"]],
    }


QWEN = {
    "details": {},
    "model_info": {"qwen2.context_length": 32768},
    "capabilities": ["completion", "tools"],
}


@pytest.mark.parametrize(
    ("parameters", "tokens"),
    [
        ('num_ctx                        32768\nstop            "<|im_end|>"', 32768),
        ('stop  "num_ctx 5"\nnum_ctx 16384', 16384),
        ("num_ctx 1000000", 32768),  # Ollama loads no more than the model was made for
        ("num_ctx 2048", 2048),
        ("temperature 0.7", 4096),
        (None, 4096),
    ],
)  # fmt: skip
async def test_ollama_loads_a_model_with_the_context_of_its_model_file(
    parameters: str | None, tokens: int
) -> None:
    found = await look(ollama({"m": {**QWEN, "parameters": parameters}}))
    assert found.models[0].max_model_len == tokens


async def test_ollama_loaded_context_goes_before_the_model_file() -> None:
    found = await look(ollama({"m": {**QWEN, "parameters": "num_ctx 32768"}}, {"m": 8192}))
    assert found.models[0].max_model_len == 8192


@pytest.mark.parametrize("broken", [401, 404, 500, []])
async def test_ollama_shows_the_others_beside_a_broken_model(broken: Any) -> None:
    found = await look(ollama({"cloud": broken, "m": QWEN, "n": QWEN}))
    assert [model.id for model in found.models] == ["m", "n"]


async def test_ollama_short_context_of_a_model_file_is_warned_of_as_that() -> None:
    found = await look(ollama({"m": {**QWEN, "parameters": "num_ctx 2048"}}))
    assert "model file sets num_ctx" in found.warnings[0]


PROPS = {"default_generation_settings": {"n_ctx": 0}, "role": "router"}
OF_A_MODEL = {
    "default_generation_settings": {"n_ctx": 8192},
    "chat_template_caps": {"supports_tools": True},
    "modalities": {"vision": True},
    "total_slots": 2,
}


async def routed(
    *args: str, props: Any = 400, value: str = "unloaded"
) -> tuple[ServedModel, list[str]]:
    asked: list[str] = []

    def answer(request: web.Request, _: Any) -> Any:
        asked.append(request.query_string)
        return props if request.query.get("model") == "a/b:Q4" else PROPS

    found = await look(
        {
            "GET /v1/models": listing({"id": "a/b:Q4", "status": {"value": value, "args": args}}),
            "GET /props": answer,
        }
    )
    return found.models[0], asked


async def test_router_gives_each_model_its_own_settings() -> None:
    model, asked = await routed(props=OF_A_MODEL, value="loaded")
    assert (model.max_model_len, model.tools, model.vision, model.parallel) == (
        8192, "native", True, 2,
    )  # fmt: skip
    assert all("autoload=false" in query for query in asked if query)


@pytest.mark.parametrize(
    ("args", "tokens"),
    [
        (("llama-server", "--ctx-size", "65536"), 65536),
        (("-c", "8192", "-np", "2"), 4096),
        (("-c", "8192", "--parallel", "2", "--kv-unified"), 8192),
        (("--ctx-size", "0"), None),  # the model's own
        (("--ctx-size",), None),
        ((), None),
    ],
)
async def test_router_model_that_is_not_loaded_has_the_context_of_its_arguments(
    args: tuple[str, ...], tokens: int | None
) -> None:
    model, _ = await routed(*args)
    assert (model.max_model_len, model.tools) == (tokens, None)


@pytest.mark.parametrize("owner", ["vllm", "sglang", "someone"])
async def test_lora_adapter_has_the_context_of_its_base_model(owner: str) -> None:
    base = {"id": "base", "owned_by": owner, "max_model_len": 16384}
    adapter = {"id": "sql", "owned_by": owner, "max_model_len": None, "parent": "base"}
    found = by_name(
        await look(
            {
                "GET /v1/models": listing(base, adapter),
                "POST /v1/chat/completions": {"choices": []},
            }
        )
    )
    assert (found["base"].max_model_len, found["sql"].max_model_len) == (16384, 16384)


@pytest.mark.parametrize(
    ("entry", "tokens"),
    [
        ({"context_length": 131072}, 131072),  # Together
        ({"context_length": 9999, "top_provider": {"context_length": 4096}}, 4096),  # OpenRouter
        ({"context_window": 8192}, 8192),  # Groq
        ({"max_context_length": 32768}, 32768),  # Mistral
        ({"max_context_length": 32768, "loaded_context_length": 4096}, 4096),  # LM Studio
        ({"max_input_tokens": 65536}, 65536),  # LiteLLM
        ({"metadata": {"context_length": 4096}}, 4096),  # DeepInfra
        ({"max_model_len": "8192"}, 8192),
        ({"max_model_len": 0, "context_length": 2048}, 2048),
        ({"owned_by": "tabbyAPI", "parameters": {"max_seq_len": 8192}}, 8192),
        ({"meta": {"n_ctx": 4096, "n_ctx_train": 32768}}, 4096),
        ({"meta": {"n_ctx_train": 32768}}, None),
        ({"context_length": 0}, None),
        ({"context_length": True}, None),
        ({}, None),
    ],
)  # fmt: skip
async def test_context_is_read_under_every_name(
    entry: Mapping[str, Any], tokens: int | None
) -> None:
    found = await look({"GET /v1/models": listing({"id": "m", "owned_by": "x", **entry})})
    assert (found.backend.engine, found.models[0].max_model_len) == ("openai", tokens)


async def test_entries_without_a_name_hide_no_others() -> None:
    answers = {"GET /v1/models": {"data": [None, {"id": None}, "text", {"id": "m"}]}}
    assert [model.id for model in (await look(answers)).models] == ["m"]


@pytest.mark.parametrize(
    "answer",
    [
        {"object": "list", "models": [{"id": "m", "owned_by": "vllm"}]},
        {"data": [], "models": [{"name": "m"}]},
        {"data": [{"model_id": "m", "id": None}]},
    ],
)
async def test_models_are_found_under_other_names(answer: dict[str, Any]) -> None:
    assert [model.id for model in (await look({"GET /v1/models": answer})).models] == ["m"]


@pytest.mark.parametrize(
    ("entry", "may_chat"),
    [
        ({"owned_by": "infinity", "capabilities": ["embed"]}, False),
        ({"owned_by": "infinity", "capabilities": ["embed", "rerank"]}, False),
        ({"owned_by": "xinference", "model_type": "rerank"}, False),
        ({"owned_by": "xinference", "model_type": "LLM"}, True),
        ({"capabilities": ["completion", "embed"]}, True),
        ({"capabilities": [{"embed": True}]}, True),
        ({"owned_by": "lemonade", "labels": ["embeddings", "custom"]}, False),
        ({"owned_by": "lemonade", "labels": ["tool-calling", "hot"]}, True),
        ({"owned_by": "lemonade", "labels": None}, True),
    ],
)
async def test_kinds_of_models_that_answer_no_chats(entry: dict[str, Any], may_chat: bool) -> None:
    found = await look({"GET /v1/models": listing({"id": "m", **entry})})
    assert found.models[0].may_chat is may_chat


async def test_model_that_is_listed_twice_is_one() -> None:
    twice = listing({"id": "m", "max_model_len": 8192}, {"id": "m"}, {"id": "n"})
    found = (await look({"GET /v1/models": twice})).models
    assert [(model.id, model.max_model_len) for model in found] == [("m", 8192), ("n", None)]


async def test_bare_list_of_models_is_one_too() -> None:
    models = [
        {"id": "chatty", "type": "chat", "context_length": 8192},
        {"id": "e5", "type": "embedding"},
    ]
    found = by_name(await look({"GET /v1/models": models}))
    assert (found["chatty"].max_model_len, found["chatty"].chat) == (8192, None)
    assert found["e5"].chat is False


LM_STUDIO_03 = listing(
    {"id": "qwen", "type": "llm", "state": "loaded", "max_context_length": 32768,
     "loaded_context_length": 4096, "quantization": "Q4_K_M", "capabilities": ["tool_use"]},
    {"id": "pixtral", "type": "vlm", "state": "not-loaded", "max_context_length": 8192},
    {"id": "nomic", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048},
)  # fmt: skip


async def test_lm_studio_03_is_recognised_with_its_embedding_models() -> None:
    answers = {"GET /v1/models": listing({"id": "qwen"}), "GET /api/v0/models": LM_STUDIO_03}
    recognised = await look(answers)
    found = by_name(recognised)
    assert recognised.backend.engine == "lm-studio"
    qwen = found["qwen"]
    assert (qwen.max_model_len, qwen.tools, qwen.quantization) == (4096, "native", "Q4_K_M")
    assert (found["pixtral"].vision, found["pixtral"].tools) == (True, "none")
    assert found["nomic"].chat is False
    assert [warning.split()[0] for warning in recognised.warnings if "loads it" in warning] == [
        "pixtral"
    ]


def deployment(name: str, **facts: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": "x"}, "model_info": facts}


async def test_litellm_gives_the_smallest_window_of_the_deployments_of_a_name() -> None:
    deployments = [
        deployment("coder", max_input_tokens=65536, supports_function_calling=True, mode="chat"),
        deployment("coder", max_input_tokens=32768, supports_function_calling=True, mode="chat"),
        deployment("embed", max_input_tokens=8192, mode="embedding"),
        deployment("other", max_input_tokens=None, supports_function_calling=None, mode=None),
    ]
    names = listing({"id": "coder"}, {"id": "embed"}, {"id": "other"})
    recognised = await look({"GET /v1/models": names, "GET /model/info": {"data": deployments}})
    found = by_name(recognised)
    assert recognised.backend.engine == "litellm"
    assert (found["coder"].max_model_len, found["coder"].tools) == (32768, "native")
    assert found["embed"].chat is False
    assert (found["other"].max_model_len, found["other"].tools) == (None, None)


async def test_litellm_that_keeps_its_settings_from_a_key_is_plain_openai() -> None:
    found = await look({"GET /v1/models": listing({"id": "m"}), "GET /model/info": 403})
    assert found.backend.engine == "openai"


# Servers that make embeddings only

#: Seen on llama.cpp b11549 without --embeddings; with a BERT; with SmolLM2 and --embeddings, which
#: chats too. Before, a server with --embeddings refused every chat (tools/server/server.cpp).
LLAMA_EMBEDDINGS: dict[str, tuple[Any, Any, bool | None]] = {
    "a server without embeddings": (501, 400, None),
    "a BERT": (400, "the current context does not support logits computation. skipping", False),
    "a BERT in an older build": (
        400,
        "the current context does not logits computation. skipping",
        False,
    ),
    "an older build with --embeddings": (
        400,
        "This server does not support completions. Start it without `--embeddings`",
        False,
    ),
    "a model that chats, with --embeddings": (400, {"choices": [{"text": "b"}]}, None),
    "a server that is too busy to be asked": (400, 503, None),
    "a build without the path": (404, 404, None),
}


@pytest.mark.parametrize(
    ("embeddings", "completion", "chats"), LLAMA_EMBEDDINGS.values(), ids=LLAMA_EMBEDDINGS
)
async def test_llama_server_with_an_embedding_model_is_not_offered_for_chats(
    embeddings: Any, completion: Any, chats: bool | None
) -> None:
    asked: list[Any] = []

    def complete(_: web.Request, body: Any) -> Any:
        asked.append(body)
        return {"error": {"message": completion}} if isinstance(completion, str) else completion

    found = await look(
        {
            "GET /v1/models": listing({"id": "m", "owned_by": "llamacpp"}),
            "GET /props": OF_A_MODEL,
            "POST /v1/embeddings": embeddings,
            "POST /v1/completions": complete,
        }
    )
    assert (found.backend.engine, found.models[0].chat) == ("llama.cpp", chats)
    assert all(body["max_tokens"] == 1 for body in asked)
    assert bool(asked) is (embeddings == 400)  # another server is not asked for a token


#: vLLM 0.32 with --runner pooling, as seen; with a model that chats, and in earlier versions, as
#: in vllm/entrypoints/serve/engine/serving.py and vllm/entrypoints/openai/api_server.py.
VLLM_CHATS: dict[str, tuple[int, dict[str, Any], bool | None]] = {
    "a model that chats": (
        404,
        {"error": {"message": "The model `stoker-asks` does not exist.", "type": "NotFoundError"}},
        None,
    ),
    "an embedding model of 0.32": (404, {"detail": "Not Found"}, False),
    "an embedding model before its routes followed the tasks": (
        501,
        {"error": {"message": "The model does not support Chat Completions API"}},
        False,
    ),
    "an embedding model of 0.10": (
        400,
        {"object": "error", "message": "The model does not support Chat Completions API"},
        False,
    ),
    "a route that is missing, in OpenAI's form": (
        404,
        {"error": {"message": "Not Found", "code": 404}},
        False,
    ),
    "a server that refuses for another reason": (400, {"error": {"message": "no"}}, None),
    "a server that is in trouble": (500, {"error": {"message": "EngineDeadError"}}, None),
}


@pytest.mark.parametrize(("status", "reply", "chats"), VLLM_CHATS.values(), ids=VLLM_CHATS)
async def test_vllm_with_an_embedding_model_is_not_offered_for_chats(
    status: int, reply: dict[str, Any], chats: bool | None
) -> None:
    models: list[str] = []

    def chat(_: web.Request, body: Any) -> Any:
        models.append(body["model"])
        return web.json_response(reply, status=status)

    entry = {"id": "m", "owned_by": "vllm", "max_model_len": 512}
    found = await look({"GET /v1/models": listing(entry), "POST /v1/chat/completions": chat})
    (model,) = found.models
    assert (found.backend.engine, model.chat, model.max_model_len) == ("vllm", chats, 512)
    assert any("answers no chats" in warning for warning in found.warnings) is (chats is False)
    assert models[0] != "m"  # so that a model that chats writes nothing
