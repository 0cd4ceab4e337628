"""How requests are counted and fitted before a backend that counts for itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.support.real_models import smollm2
from tests.unit.gateway.backends import MODEL, Call, Front, Scripted, answer, front, running

from stoker.engines import Backend, ServedModel
from stoker.gateway import FitSettings, Gateway, GatewayTimings, Served
from stoker.tokens import LocalTokenizer, request_form

WINDOW = 2048
LONG = "word " * 1400


def tokens_of(body: dict[str, Any]) -> int:
    """As an engine with a template of 10 tokens a message counts, where a word is one."""
    texts = [message["content"] for message in body["messages"]]
    tools = orjson.dumps(body["tools"]) if body.get("tools") else b""
    return sum(10 + len(text.split()) for text in texts) + len(tools) // 4


class Counting:
    """A server that counts as SGLang does, and says what it is told to say of a chat."""

    def __init__(self, *used: int) -> None:
        self.used = list(used)
        self.counted = 0

    async def __call__(self, call: Call) -> None:
        if call.path == "/v1/tokenize":
            self.counted += 1
            await call.send(answer(orjson.dumps({"count": tokens_of(call.body)})))
            return
        used = self.used.pop(0) if self.used else tokens_of(call.body)
        message = {"role": "assistant", "content": "hi"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": used, "completion_tokens": 1}
        await call.send(answer(orjson.dumps({"choices": [choice], "usage": usage})))


@contextlib.asynccontextmanager
async def fitting_to(
    server: Counting, timings: GatewayTimings | None = None
) -> AsyncIterator[tuple[Front, Scripted]]:
    async with running(server) as (backend,):
        gateway = Gateway(timings=timings or GatewayTimings())
        models = [ServedModel(MODEL, max_model_len=WINDOW, tools="native")]
        gateway.serve([Served(Backend(backend.url, "sglang"), models)])
        async with front(gateway) as served:
            yield served, backend


async def tokenize(served: Front, text: str, **more: Any) -> int:
    body = {"model": MODEL, **asking(text), **more}
    reply = await served.post(orjson.dumps(body), "/tokenize")
    assert reply.status == 200, reply.body
    return int(orjson.loads(reply.body)["count"])


def asking(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def test_absurd_report_is_logged_and_counted_and_corrects_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with fitting_to(Counting(10)) as (served, _):
        assert (await served.chat(**asking(LONG))).status == 200
        assert await tokenize(served, "hi") == 11
        assert f'stoker_count_mismatches_total{{model="{MODEL}"}} 1.0' in await served.metrics()
    assert "counted 1410 prompt tokens, the backend counted 10: too far off" in caplog.text


async def test_a_difference_that_one_request_alone_shows_is_not_learned() -> None:
    async with fitting_to(Counting(1460, 1460)) as (served, _):
        replies = await asyncio.gather(*(served.chat(**asking(LONG)) for _ in range(2)))
        assert [reply.status for reply in replies] == [200, 200]
        assert await tokenize(served, "hi") == 11


async def test_a_difference_that_repeats_corrects_the_counts_of_its_shape() -> None:
    async with fitting_to(Counting(1460, 1461)) as (served, _):
        for text in (LONG, LONG + "more"):
            assert (await served.chat(**asking(text))).status == 200
        assert await tokenize(served, "hi") == 11 + 50
        offering = {**asking("hi"), "tools": TOOLS[:1]}
        expected = tokens_of(request_form.normal_request(offering))
        assert await tokenize(served, "hi", tools=TOOLS[:1]) == expected


async def test_tools_of_one_client_do_not_change_the_counts_of_others() -> None:
    odd = [{**tool, "x_meta": {"source": "server"}} for tool in TOOLS[:8]]
    server = Counting(*[1600] * 3)
    async with fitting_to(server) as (served, _):
        before = await tokenize(served, "hi", tools=TOOLS[:1])
        for text in ("a ", "b ", "c "):
            assert (await served.chat(**asking(text + LONG[:4000]), tools=odd)).status == 200
        assert not server.used
        assert await tokenize(served, "hi", tools=TOOLS[:1]) == before


async def test_tools_that_the_server_does_not_read_are_not_counted_again() -> None:
    """As vLLM with ``--exclude-tools-when-tool-choice-none``, which its ``/tokenize`` ignores."""
    messages = asking("word " * 1100)["messages"]
    unread = tokens_of({"messages": messages})
    async with fitting_to(Counting(unread, unread)) as (served, _):
        for _ in range(2):
            reply = await served.chat(messages=messages, tools=TOOLS[:8], tool_choice="none")
            assert reply.status == 200
        assert await tokenize(served, "hi", tools=TOOLS, tool_choice="none") == 11
        assert await tokenize(served, "hi", tools=TOOLS) > 1000
        assert f'stoker_count_mismatches_total{{model="{MODEL}"}} 1.0' in await served.metrics()


async def test_server_counts_the_same_content_once_and_a_changed_one_again() -> None:
    server = Counting()
    async with fitting_to(server, GatewayTimings(counts_kept=8)) as (served, _):
        await served.chat(**asking(LONG))
        before = server.counted
        for _ in range(3):
            await served.chat(**asking(LONG))
        assert server.counted == before
        await served.chat(**asking(LONG + "more"))
        assert server.counted > before
        assert await tokenize(served, "hi you") == 12
        assert await tokenize(served, "hi you all") == 13
        before = server.counted
        for number in range(9):
            await tokenize(served, f"text {number}")
        await tokenize(served, "hi you")
        assert server.counted == before + 10  # the oldest were forgotten


async def test_metric_counts_only_the_steps_that_happened() -> None:
    async with fitting_to(Counting()) as (served, backend):
        turns = [{"role": "user", "content": "word " * 300}, {"role": "assistant", "content": "a"}]
        reply = await served.chat(messages=[*turns * 8, {"role": "user", "content": "end"}])
        assert reply.status == 200
        assert len(backend.calls[-1].body["messages"]) < 17
        metrics = await served.metrics()
    assert 'step="messages"} 1.0' in metrics
    for step in ("schemas", "tools", "system"):
        assert f'step="{step}"' not in metrics


async def test_log_names_the_dropped_tools_and_nothing_else_of_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tools = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": "secret " * 40,
                "parameters": {"type": "object", "properties": {}},
            },
        }
        for name in ("read_file", *(f"tool_{number}" for number in range(60)), "forged\nline")
    ]
    caplog.set_level("INFO", "stoker.gateway")
    async with fitting_to(Counting()) as (served, _):
        reply = await served.chat(**asking("please read_file " + "secret " * 400), tools=tools)
        assert reply.status == 200
        assert "tools=62>" in reply.headers["x-stoker-fit"]
        assert "tool_59" not in reply.headers["x-stoker-fit"]
        assert 'step="tools"} 1.0' in await served.metrics()
    (line,) = (r.getMessage() for r in caplog.records if "fitted" in r.getMessage())
    assert "; without the tools " in line
    assert "'tool_59'" in line
    assert "forged\\nline" in line
    assert "\n" not in line
    assert "secret" not in line


TOOLS = [
    {"type": "function", "function": {"name": f"tool_{n}", "description": "word " * 60}}
    for n in range(39)
]


@pytest.mark.parametrize(
    ("parameters", "is_named"), [(494_000_000, True), (7_000_000_000, False), (None, False)]
)
async def test_only_a_small_model_is_sent_which_tools_fit(
    parameters: int | None, is_named: bool
) -> None:
    async with running(Counting()) as (backend,):
        gateway = Gateway()
        models = [ServedModel(MODEL, max_model_len=WINDOW, tools="native")]
        settings = FitSettings(parameters=parameters)
        gateway.serve([Served(Backend(backend.url, "sglang"), models, fit=settings)])
        tools = [*TOOLS, {"type": "function", "function": {"name": "run_tests"}}]
        async with front(gateway) as served:
            reply = await served.chat(**asking("Run the tests"), tools=tools)
    assert reply.status == 200, reply.body
    assert ("named=1" in reply.headers["x-stoker-fit"]) is is_named
    sent = backend.calls[-1].body["messages"][-1]["content"]
    line = "\n\nTools that fit this request best: run_tests."
    assert sent == "Run the tests" + line * is_named


@pytest.fixture
def ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """SmolLM2, whose template knows no tools, as Ollama keeps it on a disk."""
    digest = "0" * 64
    manifest = tmp_path / "manifests/registry.ollama.ai/library/smollm2/135m"
    manifest.parent.mkdir(parents=True)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}
    manifest.write_bytes(orjson.dumps({"layers": [layer]}))
    (tmp_path / "blobs").mkdir()
    (tmp_path / f"blobs/sha256-{digest}").symlink_to(smollm2())
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    return "smollm2:135m"


@contextlib.asynccontextmanager
async def before_ollama(model: ServedModel) -> AsyncIterator[tuple[Front, Scripted, Counting]]:
    server = Counting()
    async with running(server) as (backend,):
        gateway = Gateway()
        gateway.serve([Served(Backend(backend.url, "ollama"), [model])])
        async with front(gateway) as door:
            yield door, backend, server


async def test_a_model_of_ollama_is_counted_with_its_own_file_on_this_disk(ollama: str) -> None:
    """Ollama has no path to count at; it reads the model from a file that we can read, too."""
    async with before_ollama(ServedModel(ollama, max_model_len=WINDOW, tools="none")) as found:
        door, _, server = found
        messages = [{"role": "user", "content": "hello world"}]
        body = {"model": ollama, "messages": messages, "tools": TOOLS}
        reply = await door.post(orjson.dumps(body))
        assert reply.status == 200, reply.body
        assert "tools=39>" in reply.headers["x-stoker-fit"]
        texts = orjson.dumps({"model": ollama, "prompt": ["hello world", "x"]})
        counted = await door.post(texts, "/tokenize")
        assert orjson.loads(counted.body)["counts"] == [2, 1]
        assert server.counted == 0


async def test_a_file_whose_template_is_not_the_one_that_ollama_uses_counts_nothing(
    ollama: str,
) -> None:
    async with before_ollama(ServedModel(ollama, max_model_len=WINDOW, tools="native")) as found:
        door, backend, _ = found
        messages = [{"role": "user", "content": "hello world"}]
        body = {"model": ollama, "messages": messages, "tools": TOOLS}
        assert (await door.post(orjson.dumps(body))).status == 200
        assert len(backend.calls[-1].body["tools"]) == 39
        texts = orjson.dumps({"model": ollama, "prompt": "x"})
        assert (await door.post(texts, "/tokenize")).status == 501


class LikeLlamaCpp:
    """Counts with the model's own file, as llama.cpp does with a developer and odd numbers."""

    def __init__(self) -> None:
        self.local = LocalTokenizer.from_gguf(smollm2())
        #: The roles of each request that it was asked to count.
        self.asked: list[list[str]] = []
        #: Tokens that it reads of every chat beyond what the file's template writes.
        self.more = 0

    async def __call__(self, call: Call) -> None:
        messages = call.body["messages"]
        as_read = [
            {**m, "role": "system" if m["role"] == "developer" else m["role"]} for m in messages
        ]
        count = self.local.count_request({"messages": as_read}) + self.more
        if call.path.endswith("/input_tokens"):
            self.asked.append([message["role"] for message in messages])
            await call.send(answer(orjson.dumps({"input_tokens": count})))
            return
        message = {"role": "assistant", "content": "hi"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": count, "completion_tokens": 1}
        await call.send(answer(orjson.dumps({"choices": [choice], "usage": usage})))


@contextlib.asynccontextmanager
async def before_llama_cpp() -> AsyncIterator[tuple[Front, LikeLlamaCpp]]:
    server = LikeLlamaCpp()
    async with running(server) as (backend,):
        gateway = Gateway()
        models = [ServedModel(MODEL, max_model_len=WINDOW, tools="native")]
        settings = FitSettings(tokenizer=smollm2())
        gateway.serve([Served(Backend(backend.url, "llama.cpp"), models, settings)])
        async with front(gateway) as door:
            yield door, server


async def test_a_request_in_a_form_of_its_own_is_counted_by_the_server() -> None:
    async with before_llama_cpp() as (door, server):
        await tokenize(door, "hi")
        probes = len(server.asked)
        plain = await tokenize(door, "hi you")
        assert len(server.asked) == probes
        messages = [*asking("hi you")["messages"], {"role": "assistant", "content": "It is"}]
        odd = {"model": MODEL, "messages": messages}
        reply = await door.post(orjson.dumps(odd), "/tokenize")
        assert server.asked[probes:] == [["user", "assistant"]]
        expected = server.local.count_request({"messages": messages})
        assert orjson.loads(reply.body)["count"] == expected
        await door.chat(**{**odd, "max_tokens": 1})
        assert await tokenize(door, "hi you") == plain
        assert "stoker_count_mismatches_total{" not in await door.metrics()


async def test_a_template_that_turns_out_to_be_another_counts_no_requests_again() -> None:
    async with before_llama_cpp() as (door, server):
        before = await tokenize(door, "hi")
        server.more = 5
        assert (await door.chat(**asking(LONG))).status == 200
        assert await tokenize(door, "hi") == before + 5
