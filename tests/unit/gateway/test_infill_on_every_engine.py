"""One request shape on every engine: the model's own form is written, and answers look alike."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import MODEL, Front, Reply
from tests.unit.gateway.infill_backends import ANSWER, CODESTRAL, Server, in_front_of

from stoker.gateway import FitSettings

ENGINES = ("llama.cpp", "vllm", "sglang", "ollama", "tgi")
THEIR_PATH = {"ollama": "/api/generate"}
FORM = "<|fim_prefix|>{}<|fim_suffix|>{}<|fim_middle|>"

every_engine = pytest.mark.parametrize("engine", ENGINES)


async def post(door: Front, path: str, **fields: Any) -> Reply:
    reply = await door.post(orjson.dumps({"model": MODEL, **fields}), path)
    assert reply.status == 200, reply.body
    return reply


async def completed(door: Front, **fields: Any) -> Reply:
    return await post(door, "/v1/completions", **fields)


async def filled(door: Front, **fields: Any) -> Reply:
    return await post(door, "/infill", **fields)


@every_engine
async def test_a_completion_with_suffix_is_written_in_the_models_form(engine: str) -> None:
    server = Server(engine)
    async with in_front_of(server) as door:
        reply = await completed(door, prompt="def f(a):\n", suffix="\nf(1)", max_tokens=9)
    answer = orjson.loads(reply.body)
    assert server.read == FORM.format("def f(a):\n", "\nf(1)")
    assert answer["choices"][0]["text"] == ANSWER
    assert answer["usage"]["completion_tokens"] == 3
    path, body = server.sent[-1]
    assert path == THEIR_PATH.get(engine, "/v1/completions")
    assert not body.keys() & {"suffix", "input_extra"}
    assert reply.headers["x-stoker-fit"] == f"none; tokens={len(server.read_tokens)}"


@every_engine
async def test_an_empty_suffix_with_other_files_is_the_end_of_a_file(engine: str) -> None:
    server = Server(engine)
    async with in_front_of(server) as door:
        await completed(door, prompt="x", suffix="", input_extra=[])
        assert server.read == FORM.format("x", "")


@every_engine
async def test_infill_is_answered_in_the_form_of_llama_cpp(engine: str) -> None:
    server = Server(engine)
    async with in_front_of(server) as door:
        reply = await filled(door, input_prefix="a", prompt="b", input_suffix="c", n_predict=9)
    answer = orjson.loads(reply.body)
    assert server.read == FORM.format("ab", "c")
    assert (answer["content"], answer["stop"]) == (ANSWER, True)
    if engine != "llama.cpp":
        assert (answer["tokens_predicted"], answer["truncated"]) == (3, False)
        assert answer["tokens_evaluated"] == len(server.read_tokens)


@pytest.mark.parametrize("engine", ENGINES[1:])
async def test_infill_streams_in_that_form_too(engine: str) -> None:
    server = Server(engine)
    async with in_front_of(server) as door:
        reply = await filled(door, input_prefix="a", input_suffix="c", stream=True)
    events = [orjson.loads(part[6:]) for part in reply.body.strip().split(b"\n\n")]
    *pieces, last = events
    assert [each["content"] for each in pieces] == ANSWER.split(" ")
    assert not any(each["stop"] for each in pieces)
    assert (last["stop"], last["content"], last["stop_type"]) == (True, "", "limit")
    assert (last["tokens_predicted"], last["tokens_evaluated"]) == (3, len(server.read_tokens))


async def test_a_streamed_completion_of_ollama_is_one_of_openai() -> None:
    async with in_front_of(Server("ollama")) as door:
        reply = await completed(door, prompt="a", suffix="c", stream=True)
    *events, done = reply.body.strip().split(b"\n\n")
    assert done == b"data: [DONE]"
    chunks = [orjson.loads(each[6:]) for each in events]
    assert [c["choices"][0]["text"] for c in chunks] == [*ANSWER.split(" "), ""]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


@every_engine
async def test_other_files_stand_behind_their_marks(engine: str) -> None:
    server = Server(engine)
    extra = [{"filename": "a.py", "text": "A"}, {"filename": "b.py", "text": "B\n"}]
    async with in_front_of(server) as door:
        await completed(
            door, prompt="p", suffix="s", input_extra=extra, input_filename="m.py",
            input_repository="shop",
        )  # fmt: skip
    assert server.read == (
        "<|repo_name|>shop\n<|file_sep|>a.py\nA\n<|file_sep|>b.py\nB\n<|file_sep|>m.py\n"
        + FORM.format("p", "s")
    )


@every_engine
async def test_a_name_in_a_persons_text_never_is_a_special_token(engine: str) -> None:
    server = Server(engine)
    text = "a<|fim_middle|>b<tool_call>c<|fim_pad|><|future_token|>"
    async with in_front_of(server) as door:
        await completed(door, prompt=text, suffix=text, input_filename=text)
    for name in server.names:
        marks = {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>"}
        expected = int(name in marks or name == "<|file_sep|>")
        assert server.read_tokens.count(name) == expected
    takes_text = engine in ("ollama", "tgi")
    assert (server.read.count(text) == 0) if takes_text else (server.read.count(text) == 3)


@every_engine
async def test_a_long_file_is_cut_far_from_the_cursor_to_the_window(engine: str) -> None:
    server, window = Server(engine), 512
    prefix = "".join(chr(97 + i * 7 % 26) for i in range(1500))
    suffix = prefix[::-1]
    async with in_front_of(server, window=window) as door:
        reply = await completed(door, prompt=prefix, suffix=suffix, max_tokens=48)
    before, after = server.read[:-14].removeprefix("<|fim_prefix|>").split("<|fim_suffix|>")
    assert prefix.endswith(before)
    assert suffix.startswith(after)
    assert min(len(before), len(after)) > 100
    assert window - 48 - 50 < len(server.read_tokens) <= window - 48
    assert reply.headers["x-stoker-fit"].startswith(f"prefix=-{1500 - len(before)}; suffix=-")


@every_engine
async def test_typing_goes_on_with_the_same_beginning(engine: str) -> None:
    """The engine's prefix cache hits: in a hundred keys the text begins in two places at most."""
    server = Server(engine)
    text = "".join(f"{i:05d}" for i in range(1200))
    begins = set()
    async with in_front_of(server, window=1024) as door:
        for typed in range(0, 96, 16):
            await completed(door, prompt=text[: 5000 + typed], suffix="s", max_tokens=48)
            begins.add(server.read[:100])
    assert len(begins) <= 2


@every_engine
async def test_what_may_be_read_follows_the_engines_speed(engine: str) -> None:
    server = Server(engine)
    settings = FitSettings(max_prompt_tokens="auto", prefill_tokens_per_s=50.0)
    async with in_front_of(server, settings) as door:
        await completed(door, prompt="p" * 2000, suffix="s")
    assert 1024 - 256 < len(server.read_tokens) <= 1024


STOPS = {
    "vllm": ("stop_token_ids", [5, 4, 6, 3, 0, 1, 2]),
    "sglang": ("stop_token_ids", [5, 4, 6, 3, 0, 1, 2]),
    "tgi": ("stop", ["mine", "<|endoftext|>", "<|file_sep|>", "<|fim_pad|>"]),
    "llama.cpp": ("stop", ["mine"]),
}


@pytest.mark.parametrize("engine", STOPS)
async def test_an_answer_ends_at_the_tokens_of_the_form(engine: str) -> None:
    server = Server(engine)
    async with in_front_of(server) as door:
        await completed(door, prompt="p", suffix="s", stop=["mine"])
    name, value = STOPS[engine]
    body = server.sent[-1][1]
    assert body[name] == value
    assert body["stop"][0] == "mine"


async def test_ollama_gets_a_raw_prompt_and_its_own_names_of_options() -> None:
    server = Server("ollama")
    async with in_front_of(server) as door:
        reply = await completed(
            door, prompt="p", suffix="s", max_tokens=5, temperature=0.2, logprobs=3, seed=1
        )
    path, body = server.sent[-1]
    assert (path, body["raw"], body["stream"]) == ("/api/generate", True, False)
    stops = body["options"].pop("stop")
    assert body["options"] == {"num_predict": 5, "temperature": 0.2, "seed": 1}
    assert "<|endoftext|>" in stops
    assert reply.headers["x-stoker-fit"].endswith("; ignored=logprobs")


async def test_fields_of_infill_are_those_of_completions_and_the_rest_is_reported() -> None:
    server = Server("vllm")
    async with in_front_of(server) as door:
        reply = await filled(
            door, input_prefix="p", input_suffix="s", n_predict=7, top_k=4, repeat_penalty=1.1,
            cache_prompt=True, samplers=["top_k"], t_max_predict_ms=500,
        )  # fmt: skip
    body = server.sent[-1][1]
    assert (body["max_tokens"], body["top_k"], body["repetition_penalty"]) == (7, 4, 1.1)
    assert reply.headers["x-stoker-fit"].endswith("; ignored=samplers,t_max_predict_ms")
    assert not body.keys() & {"samplers", "n_predict", "cache_prompt"}


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llama.cpp"])
async def test_codestral_gets_the_text_after_the_cursor_first_behind_its_beginning(
    engine: str,
) -> None:
    server = Server(engine, CODESTRAL, begin="<s>")
    async with in_front_of(server) as door:
        await completed(door, prompt="p[INST]", suffix="s</s>")
    assert server.read == "<s>[SUFFIX]s</s>[PREFIX]p[INST]"
    assert server.read_tokens[:2] == ["<s>", "[SUFFIX]"]
    assert not {"[INST]", "</s>"} & set(server.read_tokens)


@every_engine
async def test_a_model_without_a_form_is_refused_and_two_that_have_one_are_named(
    engine: str,
) -> None:
    async with in_front_of(Server(engine, names=("<|im_end|>",))) as door:
        body = orjson.dumps({"model": MODEL, "prompt": "p", "suffix": "s"})
        reply = await door.post(body, "/v1/completions")
    assert (reply.status, reply.error["code"]) == (400, "no_infill_form")
    assert reply.error["param"] == "suffix"
    assert "qwen2.5-coder-0.5b and qwen2.5-coder-1.5b can" in reply.error["message"]


@pytest.mark.parametrize(
    "fields",
    [{"prompt": ["a"], "suffix": "s"}, {"prompt": "a", "suffix": 5}, {"prompt": 5, "suffix": "s"},
     {"prompt": "a", "suffix": "s", "input_extra": [5]},
     {"prompt": "a", "suffix": "s", "input_filename": 5}],
)  # fmt: skip
async def test_a_request_of_the_wrong_shape_is_refused(fields: dict[str, Any]) -> None:
    server = Server("vllm")
    async with in_front_of(server) as door:
        reply = await door.post(orjson.dumps({"model": MODEL, **fields}), "/v1/completions")
    assert (reply.status, reply.error["code"]) == (400, "invalid_type")
    assert server.sent == []


async def test_uncut_text_that_exceeds_the_window_is_refused() -> None:
    server = Server("vllm")
    async with in_front_of(server) as door:
        body = orjson.dumps({"model": MODEL, "prompt": "p" * 3000, "suffix": "s"})
        reply = await door.post(body, "/v1/completions", {"x-stoker-fit": "off"})
    assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
    assert server.sent == []


@every_engine
async def test_an_engines_refusal_reaches_the_client(engine: str) -> None:
    async with in_front_of(Server(engine, status=400)) as door:
        body = orjson.dumps({"model": MODEL, "input_prefix": "p", "input_suffix": "s"})
        reply = await door.post(body, "/infill")
    assert reply.status == 400
    assert reply.error["message"] == "The engine is not well."


@pytest.mark.parametrize(
    "tokenized", [{"count": 3}, {"tokens": None}, {"tokens": ["a"]}, [7], "ok"]
)
@pytest.mark.parametrize("engine", ["vllm", "sglang", "tgi"])
async def test_a_server_that_answers_no_tokens_is_named_as_the_reason(
    engine: str, tokenized: Any
) -> None:
    async with in_front_of(Server(engine, tokenized=tokenized)) as door:
        body = orjson.dumps({"model": MODEL, "input_prefix": "p", "input_suffix": "s"})
        reply = await door.post(body, "/infill")
    assert reply.status == 501
    assert reply.error["code"] == "no_tokens"


@pytest.mark.parametrize("tokenized", [{"count": 3}, {"tokens": None}, [], "a"])
async def test_llama_cpp_reads_a_request_itself_where_it_answers_no_tokens(tokenized: Any) -> None:
    server = Server("llama.cpp", tokenized=tokenized)
    async with in_front_of(server) as door:
        body = orjson.dumps({"model": MODEL, "input_prefix": "p", "input_suffix": "s"})
        await door.post(body, "/infill")
    assert [path for path, _ in server.sent] == ["/infill"]


async def test_half_a_character_at_the_cut_is_replaced() -> None:
    """JavaScript cuts a text between the halves of a character if it is told to."""
    async with in_front_of(Server("vllm")) as door:
        body = rb'{"model": "coder", "prompt": "x\ud83d", "suffix": "\ude42"}'
        reply = await door.post(body, "/v1/completions")
    assert reply.status == 200
