"""A server's refusal keeps its words, in whichever form the server gives them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.engines import refusals

FASTAPI = {"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Not permitted"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"error": {"message": "Too long.", "type": "x", "code": 400}}, "Too long."),  # OpenAI
        ({"error": "model not found"}, "model not found"),  # Ollama
        ({"error": "Input is too long", "error_type": "validation"}, "Input is too long"),  # TGI
        ({"detail": "Not authenticated"}, "Not authenticated"),
        ({"detail": [FASTAPI]}, "body.stream_options: Not permitted"),  # FastAPI
        (  # Mistral's API
            {"object": "error", "message": {"detail": [FASTAPI, {**FASTAPI, "msg": "No."}]}},
            "body.stream_options: Not permitted; body.stream_options: No.",
        ),
        ({"statusCode": 400, "message": ["a must be text", "b is missing"], "error": "Bad Request"},
         "a must be text; b is missing"),  # NestJS
        ([{"error": {"code": 400, "message": "Invalid JSON", "status": "INVALID"}}],
         "Invalid JSON"),  # Google's API in OpenAI's form
        ({"success": False, "errors": [{"code": 7003, "message": "No route"}]}, "No route"),
        ({"type": "about:blank", "title": "Bad Request", "detail": "n is 0"}, "n is 0"),  # RFC 9457
        (  # OpenRouter
            {"error": {"message": "Provider returned error", "metadata": {"raw": "out of GPUs"}}},
            "Provider returned error: out of GPUs",
        ),
        ({"message": "Endpoint request timed out"}, "Endpoint request timed out"),  # AWS
        ({"type": "error", "error": {"type": "invalid", "message": "Bad."}}, "Bad."),  # Anthropic
        ({"error": {"error": {"message": "deep"}}}, "deep"),
    ],
)  # fmt: skip
def test_words_are_found_in_every_form(value: Any, words: str) -> None:
    assert refusals.read(422, orjson.dumps(value)).message == words


@pytest.mark.parametrize(
    "words",
    [
        "request (600 tokens) exceeds the available context size (512 tokens), try increasing it",
        "This model's maximum context length is 2048 tokens. However, you requested 5000.",
        "The input (516368 tokens) is longer than the model's context length (262144 tokens).",
        "prompt too long; exceeded max context length by 100918 tokens",
        "prompt is too long: 5000 tokens > 4096 maximum",
        "Input does not fit in context length. The input has 31430 tokens, but the context length "
        "only supports 30000 tokens.",
        "The number of tokens to keep from the initial prompt is greater than the context length "
        "(n_keep: 5000>= n_ctx: 4096).",
        "the model is loaded with context length of only 4096 tokens, which is not enough",
        "Your input exceeds the context window of this model.",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
        "The input token count (5000) exceeds the maximum number of tokens allowed (4096).",
        "litellm.ContextWindowExceededError: OpenAIException",
        "The decoder prompt (length 99) is longer than the maximum model length of 64.",
        "The prompt (total length 25938) is too long to fit into the model (context length 4096).",
        "The sum of prompt length (72417.0), query length (0) should not exceed max_num_tokens (9)",
        "input length and `max_tokens` exceed context limit: 190000 + 21333 > 200000, decrease",
        "Input length 131393 exceeds the maximum allowed input length of 131040 tokens.",
        "Prompt too long: 5152 tokens exceeds max_seq_len 2048 (leave room for output tokens)",
        "Range of input length should be [1, 30720]",
        "prompt token count of 140000 exceeds the limit of 128000",
        "Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)",
        "invalid params, context window exceeds limit",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens",
        "Please reduce the length of the messages or completion.",
        "Input is too long for requested model.",
        "Input tokens exceed the configured limit of 272000 tokens.",
        "Context size has been exceeded.",
    ],
)
def test_prompt_that_does_not_fit_has_openais_code(words: str) -> None:
    error = {"message": words, "type": "exceed_context_size_error", "code": 400}
    assert refusals.read(400, orjson.dumps({"error": error})).code == "context_length_exceeded"


@pytest.mark.parametrize(
    "words",
    [
        "ThrottlingException: Too many tokens, please wait before trying again.",
        "Rate limit reached for model in organization on tokens per minute (TPM): Limit 6000",
        "max_tokens exceeds the limit of 8192",
        "Invalid value for context_length.",
        "The name exceeds the maximum length of 64.",
    ],
)
def test_another_limit_is_no_prompt_that_does_not_fit(words: str) -> None:
    error = {"message": words, "code": "other"}
    assert refusals.read(429, orjson.dumps({"error": error})).code == "other"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "detail", "loc", "msg", "metadata", "raw", "type"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.integers(300, 599), st.binary(max_size=200) | _JSON.map(orjson.dumps), st.text())
def test_whatever_a_server_answers_has_a_message(status: int, body: bytes, location: str) -> None:
    found = refusals.read(status, body, location)
    assert 0 < len(found.message) < 3000
    assert " " not in found.loggable


def test_plain_text_is_the_message() -> None:
    text = "Failed to deserialize: tools[46].function: missing field `parameters`"
    assert refusals.read(422, text.encode() + b"\n").message == text


@pytest.mark.parametrize(
    ("status", "page", "words"),
    [
        (413, "<html><head><title>413 Request Entity Too Large</title></head></html>",
         "larger than it allows"),
        (504, "<html><body><h1>504 Gateway Time-out</h1></body></html>", "waited too long"),
        (502, "<!DOCTYPE html><TITLE>Bad\n gateway</TITLE>", "can't reach the model's server"),
        (403, "  <!doctype HTML><p>blocked", "refuses access"),
        (520, "<html lang=en><title>Web server is down</title>", "Web server is down"),
    ],
)  # fmt: skip
def test_page_of_a_proxy_is_named_as_that(status: int, page: str, words: str) -> None:
    message = refusals.read(status, page.encode()).message
    assert message.startswith(f"A proxy in front of the model's server answered {status}")
    assert words in message
    assert "<" not in message


def test_redirect_and_login_of_a_proxy_are_named_without_secrets() -> None:
    message = refusals.read(307, b"", "https://me:secret@llm.example/v1?token=t").message
    assert "redirects to https://llm.example/v1" in message
    assert "requires a login (407)" in refusals.read(407, b"<html>").message


def test_refused_key_is_the_gateways_own() -> None:
    message = refusals.read(401, b'{"error":{"message":"Invalid key"}}').message
    assert "the gateway's own key" in message
    assert "Invalid key" in message


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"7", b" \x00 "])
def test_refusal_without_words_has_its_status(body: bytes) -> None:
    assert "status 418 and gave no reason" in refusals.read(418, body).message


def test_log_gets_the_kind_and_never_the_words() -> None:
    quoting = {"detail": [{**FASTAPI, "msg": "my prompt", "input": "my prompt"}]}
    assert refusals.read(422, orjson.dumps(quoting)).loggable == "extra_forbidden"
    assert refusals.read(400, b'{"error": {"message": "x", "code": "my prompt"}}').loggable == ""
    assert refusals.read(422, orjson.dumps(quoting)).message == "body.stream_options: my prompt"


def test_long_and_deep_refusals_are_bounded() -> None:
    assert len(refusals.read(400, b"x" * 100_000).message) < 3000
    deep: Any = "end"
    for _ in range(100):
        deep = {"error": deep}
    assert "no reason" in refusals.read(400, orjson.dumps(deep)).message


@pytest.mark.parametrize(
    "words",
    [b'{"detail":"Not Found"}', b"404 page not found\n", b"",
     b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}'],
)  # fmt: skip
def test_missing_path_is_recognised(words: bytes) -> None:
    assert refusals.read(404, words).is_no_path


def test_missing_model_is_no_missing_path() -> None:
    assert not refusals.read(404, b'{"error":{"message":"model x not found"}}').is_no_path


@pytest.mark.parametrize(
    "answer",
    [{"choices": [], "error": {"message": "x"}}, {"object": "response", "error": None},
     {"output": [], "error": {"message": "x"}, "status": "failed"}, {"usage": {}}],
)  # fmt: skip
def test_answers_are_no_refusals(answer: Any) -> None:
    assert refusals.of_answer(answer) is None
