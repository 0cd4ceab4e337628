"""Servers that run already are recognised, and what will bite is said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from tests.support import contract_servers as contract

from stoker import engines
from stoker.engines import Backend, Recognised
from stoker.engines.server_detection import recognise
from stoker.errors import StokerError


@asynccontextmanager
async def serving(answers: Mapping[str, Any], key: str | None = None) -> AsyncIterator[str]:
    async with TestServer(contract.app(answers, key=key)) as server:
        yield str(server.make_url("")).rstrip("/")


async def look(answers: Mapping[str, Any]) -> Recognised:
    async with serving(answers) as url:
        return await recognise(url)


async def test_ollama_is_recognised_with_the_context_that_is_loaded() -> None:
    found = await look(contract.OLLAMA)
    assert (found.backend.engine, found.version) == ("ollama", "0.12.3")
    (model,) = found.models
    assert (model.id, model.max_model_len, model.tools) == ("qwen3:8b", 4096, "native")
    assert model.reasoning
    assert model.quantization == "Q4_K_M"


async def test_ollamas_embedding_model_does_not_chat_and_a_coder_fills_in() -> None:
    shown = {"details": {}, "model_info": {}, "capabilities": ["embedding"]}
    found = await look({**contract.OLLAMA, "POST /api/show": shown})
    assert (found.models[0].chat, found.models[0].fill_in_the_middle) == (False, False)
    shown = {**shown, "capabilities": ["completion", "insert"]}
    found = await look({**contract.OLLAMA, "POST /api/show": shown})
    assert (found.models[0].chat, found.models[0].fill_in_the_middle) == (True, True)


async def test_ollamas_silent_truncation_is_warned_of() -> None:
    found = await look(contract.OLLAMA)
    assert "4,096 tokens of its 40,960 and cuts longer prompts silently" in found.warnings[0]
    assert "OLLAMA_CONTEXT_LENGTH=32768" in found.warnings[0]


async def test_ollama_model_that_is_not_loaded_has_the_default_context() -> None:
    found = await look({**contract.OLLAMA, "GET /api/ps": {"models": []}})
    assert found.models[0].max_model_len == 4096


async def test_ollama_with_a_long_context_is_not_warned_of() -> None:
    loaded = {"models": [{"name": "qwen3:8b", "context_length": 32768}]}
    found = await look({**contract.OLLAMA, "GET /api/ps": loaded})
    assert found.models[0].max_model_len == 32768
    assert found.warnings == ()


async def test_tgi_is_recognised_and_its_maintenance_mode_reported() -> None:
    found = await look(contract.TGI)
    assert (found.backend.engine, found.version) == ("tgi", "3.3.6")
    assert found.models[0].max_model_len == 8192
    assert "maintenance mode" in found.warnings[0]
    assert "stoker up --engine vllm org/model" in found.warnings[0]
    assert "more than 4,095 tokens" in found.warnings[1]


async def test_lm_studio_is_recognised_with_the_context_of_the_loaded_instance() -> None:
    found = await look(contract.LM_STUDIO)
    assert found.backend.engine == "lm-studio"
    loaded, waiting, embeds = found.models
    assert (embeds.id, embeds.chat) == ("text/embed", False)
    assert (loaded.id, loaded.max_model_len, loaded.tools) == ("qwen/qwen3-8b", 16384, "native")
    assert (waiting.id, waiting.max_model_len, waiting.vision) == ("not/loaded", 8192, True)
    assert found.warnings == (
        "not/loaded is not loaded: LM Studio loads it with 4,096 tokens unless you set another "
        "context length in its settings.",
    )


async def test_sglang_is_recognised() -> None:
    found = await look(contract.SGLANG)
    assert (found.backend.engine, found.version) == ("sglang", "0.5.4")
    assert found.models[0].max_model_len == 32768
    assert found.warnings == ()


async def test_tensorrt_llm_is_recognised_and_its_unknown_context_reported() -> None:
    found = await look(contract.TENSORRT_LLM)
    assert (found.backend.engine, found.version) == ("tensorrt-llm", "1.0.0")
    assert "does not report how long the context of org/m is" in found.warnings[0]


async def test_any_other_server_is_taken_for_plain_openai() -> None:
    found = await look(contract.PLAIN)
    assert found.backend.engine == "openai"
    assert found.models[0].id == "m"


async def test_address_may_end_in_v1() -> None:
    async with serving(contract.SGLANG) as url:
        found = await recognise(f"{url}/v1/")
        assert found.backend.url == url


async def test_key_is_asked_for_and_used_and_in_no_text() -> None:
    async with serving(contract.SGLANG, key="a-secret") as url:
        with pytest.raises(StokerError, match="requires a key") as refused:
            await recognise(url)
        assert "--key-env" in refused.value.fix
        found = await recognise(url, "a-secret")
        assert found.backend.engine == "sglang"
        assert "a-secret" not in repr(found)


async def test_server_that_lists_no_models_is_refused() -> None:
    with pytest.raises(StokerError, match="not one that Stoker can use"):
        await look({"GET /": {}})


async def test_address_where_nothing_answers_is_named() -> None:
    with pytest.raises(StokerError, match="Nothing answers at"):
        await recognise("http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("name", "answers", "tokens"), [("tgi", contract.TGI, 31), ("sglang", contract.SGLANG, 12)]
)
async def test_server_counts_tokens(name: str, answers: Mapping[str, Any], tokens: int) -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    async with serving(answers) as url, aiohttp.ClientSession() as http:
        assert await engines.server_client(name).count(http, Backend(url, name), chat) == tokens


@pytest.mark.parametrize("name", ["ollama", "lm-studio", "tensorrt-llm", "openai"])
async def test_server_that_can_not_count_reports_it(name: str) -> None:
    async with serving(contract.PLAIN) as url, aiohttp.ClientSession() as http:
        with pytest.raises(NotImplementedError, match="can't count tokens"):
            await engines.server_client(name).count(http, Backend(url, name), {})


def test_engine_that_stoker_only_speaks_to_can_not_be_started() -> None:
    with pytest.raises(StokerError, match="does not start ollama"):
        engines.get("ollama")
