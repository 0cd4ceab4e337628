"""Servers that answer as the published APIs of Ollama, TGI, LM Studio, SGLang and others specify.

The tests can't run these programs, so the answers follow the documentation linked at each. They
stand for the other side of a connection, never for the code under test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

#: https://github.com/ollama/ollama/blob/main/docs/api.md, Ollama 0.12
OLLAMA = {
    "GET /v1/models": {
        "object": "list",
        "data": [{"id": "qwen3:8b", "object": "model", "created": 1, "owned_by": "library"}],
    },
    "GET /api/version": {"version": "0.12.3"},
    "GET /api/ps": {
        "models": [{"name": "qwen3:8b", "model": "qwen3:8b", "size": 1, "context_length": 4096}]
    },
    "GET /api/tags": {"models": [{"name": "qwen3:8b", "model": "qwen3:8b", "size": 1}]},
    "POST /api/show": {
        "details": {"format": "gguf", "family": "qwen3", "quantization_level": "Q4_K_M"},
        "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40960},
        "capabilities": ["completion", "tools", "thinking"],
    },
}

#: https://huggingface.co/docs/text-generation-inference/reference/api_reference, TGI 3.3
TGI = {
    "GET /v1/models": {
        "object": "list",
        "data": [{"id": "org/model", "object": "model", "created": 1, "owned_by": "org/model"}],
    },
    "GET /info": {
        "model_id": "org/model",
        "model_sha": "abc",
        "max_concurrent_requests": 128,
        "max_input_tokens": 4095,
        "max_total_tokens": 8192,
        "version": "3.3.6",
    },
    "GET /health": {},
    "POST /chat_tokenize": {
        "tokenize_response": [{"id": 1, "text": "a", "start": 0, "stop": 1}] * 31,
        "templated_text": "a",
    },
}

#: https://lmstudio.ai/docs/developer/rest/list, LM Studio 0.4
LM_STUDIO = {
    "GET /v1/models": {
        "object": "list",
        "data": [{"id": "qwen/qwen3-8b", "object": "model", "owned_by": "organization_owner"}],
    },
    "GET /api/v1/models": {
        "models": [
            {
                "type": "llm",
                "key": "qwen/qwen3-8b",
                "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
                "loaded_instances": [{"id": "qwen/qwen3-8b", "config": {"context_length": 16384}}],
                "max_context_length": 40960,
                "capabilities": {"vision": False, "trained_for_tool_use": True},
            },
            {
                "type": "llm",
                "key": "not/loaded",
                "loaded_instances": [],
                "max_context_length": 8192,
                "capabilities": {"vision": True, "trained_for_tool_use": False},
            },
            {"type": "embedding", "key": "text/embed", "loaded_instances": []},
        ]
    },
}

#: https://docs.sglang.ai/basic_usage/openai_api.html, SGLang 0.5
SGLANG = {
    "GET /v1/models": {
        "object": "list",
        "data": [{"id": "org/m", "object": "model", "owned_by": "sglang", "max_model_len": 32768}],
    },
    "GET /get_server_info": {"version": "0.5.4", "tool_call_parser": None},
    "GET /health": {},
    "POST /v1/tokenize": {"tokens": [1] * 12, "count": 12, "max_model_len": 32768},
    "POST /v1/chat/completions": {"object": "chat.completion", "choices": []},
}

#: https://nvidia.github.io/TensorRT-LLM/commands/trtllm-serve, TensorRT-LLM 1.0
TENSORRT_LLM = {
    "GET /v1/models": {
        "object": "list",
        "data": [{"id": "org/m", "object": "model", "owned_by": "tensorrt_llm"}],
    },
    "GET /version": {"version": "1.0.0"},
    "GET /health": {},
}

#: https://platform.openai.com/docs/api-reference/models/list
PLAIN = {
    "GET /v1/models": {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "x"}]}
}


def app(answers: Mapping[str, Any], *, key: str | None = None) -> web.Application:
    """A server with these answers; everything else is 404, and 401 without the ``key``."""

    async def answer(request: web.Request) -> web.Response:
        if key is not None and request.headers.get("Authorization") != f"Bearer {key}":
            return web.json_response({"error": "unauthorized"}, status=401)
        found = answers.get(f"{request.method} {request.path}")
        if found is None:
            return web.json_response({"error": "not found"}, status=404)
        return web.json_response(found)

    server = web.Application()
    server.router.add_route("*", "/{path:.*}", answer)
    return server
