"""What the gateway answers is what contract/gateway-api.json describes.

The VS Code extension's tests validate their fake gateways against the same file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator, ValidationError
from tests.unit.gateway.backends import MODEL, Front
from tests.unit.gateway.test_counting import in_front_of_vllm
from tests.unit.gateway.test_model_entries import CODER, EMBEDDER, serving

CONTRACT = json.loads((Path(__file__).parents[3] / "contract/gateway-api.json").read_text())
MESSAGES = [{"role": "user", "content": "one two three"}]
PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "read_file", "parameters": PARAMETERS}}


def validate(name: str, value: Any) -> None:
    """Raise ``ValidationError`` where ``value`` is not what ``name`` in the contract describes."""
    schema = {"$ref": f"#/$defs/{name}", "$defs": CONTRACT["$defs"]}
    Draft202012Validator(schema).validate(value)


async def get(door: Front, path: str) -> Any:
    async with door.http.get(door.url + path) as response:
        assert response.status == 200
        return await response.json()


def test_the_contract_is_a_schema() -> None:
    Draft202012Validator.check_schema(CONTRACT)


@pytest.mark.parametrize(("path", "name"), [("/v1/models", "ModelList"), ("/info", "Info")])
async def test_listings(path: str, name: str) -> None:
    async with serving(CODER, EMBEDDER) as (door, _, _):
        answer = await get(door, path)
    models = answer["data" if name == "ModelList" else "models"]
    assert [model["id"] for model in models] == ["coder", "embedder", "local"]
    validate(name, answer)


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        ({"prompt": "one two"}, {"count"}),
        ({"prompt": ["one two", "three"]}, {"counts"}),
        ({"messages": MESSAGES, "tools": [TOOL]}, {"count"}),
    ],
)
async def test_tokenize(fields: dict[str, Any], counted: set[str]) -> None:
    request = {"model": MODEL, **fields}
    validate("TokenizeRequest", request)
    async with in_front_of_vllm() as (door, _):
        reply = await door.post(orjson.dumps(request), "/tokenize")
    assert reply.status == 200
    answer = orjson.loads(reply.body)
    assert answer.keys() - {"max_model_len"} == counted
    validate("TokenizeAnswer", answer)


@pytest.mark.parametrize("words", [3, 4000])
async def test_fit(words: int) -> None:
    old = [{"role": "user", "content": "word " * words}, {"role": "assistant", "content": "yes"}]
    request = {"model": MODEL, "messages": [*old, *MESSAGES], "tools": [TOOL]}
    validate("FitRequest", request)
    async with in_front_of_vllm() as (door, _):
        reply = await door.post(orjson.dumps(request), "/fit")
    assert reply.status == 200
    validate("FitAnswer", orjson.loads(reply.body))


@pytest.mark.parametrize("path", ["/tokenize", "/fit", "/v1/chat/completions", "/nowhere"])
async def test_errors(path: str) -> None:
    async with in_front_of_vllm() as (door, _):
        reply = await door.post(orjson.dumps({"model": "missing", "messages": MESSAGES}), path)
    assert reply.status == 404
    validate("Error", orjson.loads(reply.body))


async def test_an_invented_field_and_a_missing_one_break_the_contract() -> None:
    async with serving(CODER) as (door, _, _):
        answer = await get(door, "/info")
    model = answer["models"][0]
    with pytest.raises(ValidationError, match="tokens_per_s"):
        validate("InfoModel", {**model, "tokens_per_s": 55.0})
    with pytest.raises(ValidationError, match="quantization"):
        validate("InfoModel", {key: model[key] for key in model if key != "quantization"})
