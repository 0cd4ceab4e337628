"""Traces: a real exporter sends them to a collector, which reads OpenTelemetry's protobuf."""

from __future__ import annotations

import ast
import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.support.otlp_collector import attributes_of, collecting
from tests.unit.gateway.backends import (
    DONE,
    MODEL,
    STREAM,
    Call,
    Front,
    answer,
    chunk,
    event,
    front,
    running,
    usage,
)

from stoker.access.api_keys import Keys, hash_of
from stoker.access.caller import Caller
from stoker.engines import Backend, ServedModel
from stoker.errors import UsageError
from stoker.gateway import Gateway, Served
from stoker.gateway.gateway_config import load
from stoker.gateway.tracing.trace_context import trace_headers
from stoker.gateway.tracing.trace_settings import TraceSettings

TRACE_ID, CLIENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{CLIENT_SPAN}-01"
ROOT, CALL = "POST /v1/chat/completions", f"chat {MODEL}"
KEY = "a-canary-key"
PACKAGE = Path(__file__).parents[3] / "src/stoker"


async def streamed(call: Call) -> None:
    await call.send(STREAM, chunk(event("canary-answer")))
    await asyncio.sleep(0.05)
    await call.send(*map(chunk, (event("ho"), usage(), DONE)), b"0\r\n\r\n")


@asynccontextmanager
async def traced(
    url: str, *scenarios: Any, ratio: float = 1.0, traces: bool = True, engine: str = "vllm"
) -> AsyncIterator[tuple[Front, list[Call]]]:
    """A gateway that sends traces there. They have been sent when this ends."""
    door = Gateway(Keys({hash_of(KEY): Caller("ann", "1")}))
    door.send_traces(TraceSettings(url, ratio) if traces else None)
    async with running(*scenarios) as backends:
        models = [ServedModel(MODEL, max_model_len=8192)]
        door.serve([Served(Backend(b.url, engine), models) for b in backends])
        async with front(door) as served:
            yield served, [*backends]  # type: ignore[list-item]


async def ask(served: Front, traceparent: str | None = TRACEPARENT, **fields: Any) -> int:
    turns = [{"role": "user", "content": "canary-prompt"}]
    body = {"model": MODEL, "messages": turns, "stream": True, **fields}
    headers = {"Authorization": f"Bearer {KEY}"}
    if traceparent:
        headers["traceparent"] = traceparent
    return (await served.post(orjson.dumps(body), headers=headers)).status


def parent(span: Span) -> str:
    return span.parent_span_id.hex()


def is_within(inner: Span, outer: Span) -> bool:
    """Whether it is a child, of the same trace, and within its time."""
    is_child = inner.parent_span_id == outer.span_id and inner.trace_id == outer.trace_id
    starts = outer.start_time_unix_nano <= inner.start_time_unix_nano
    return is_child and starts and inner.end_time_unix_nano <= outer.end_time_unix_nano


async def test_request_is_a_span_of_its_clients_trace_with_one_for_each_part() -> None:
    async with collecting() as collector:
        async with traced(collector.url, streamed) as (served, _):
            assert await ask(served) == 200
        root, call = collector.named(ROOT), collector.named(CALL)
        assert (root.trace_id.hex(), parent(root)) == (TRACE_ID, CLIENT_SPAN)
        assert (root.kind, call.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
        parts = [collector.named("queue"), collector.named("fit"), call]
        assert all(is_within(part, root) for part in parts)
        assert len(collector.spans) == 4
        ends = [part.end_time_unix_nano for part in parts]
        assert ends == sorted(ends)
    assert collector.resource["service.name"] == "stoker"
    asked = attributes_of(root)
    assert (asked["stoker.owner"], asked["http.response.status_code"]) == ("ann", 200)


async def test_call_of_a_backend_has_its_tokens_and_the_time_of_its_first_one() -> None:
    async with collecting() as collector, traced(collector.url, streamed) as (served, _):
        await ask(served)
    call = collector.named(CALL)
    found = attributes_of(call)
    assert found["gen_ai.provider.name"] == "vllm"
    assert found["gen_ai.operation.name"] == "chat"
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (7, 3)
    assert found["server.address"] == "127.0.0.1"
    (first,) = call.events
    assert first.name == "first_token"
    assert call.start_time_unix_nano < first.time_unix_nano
    assert call.end_time_unix_nano - first.time_unix_nano > 40_000_000, "50 ms are between tokens"


async def test_backend_gets_the_id_of_the_call_to_it() -> None:
    heads: list[dict[str, str]] = []
    async with (
        collecting() as collector,
        _engine(heads) as url,
        traced(collector.url) as (served, _),
    ):
        served.gateway.serve([Served(Backend(url, "vllm"), [ServedModel(MODEL)])])
        assert await ask(served, stream=False) == 200
    sent = heads[0]["traceparent"].split("-")
    assert sent == ["00", TRACE_ID, collector.named(CALL).span_id.hex(), "01"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (TRACEPARENT, TRACEPARENT),
        (None, None),
        (f"00-{'0' * 32}-{CLIENT_SPAN}-01", None),
        (f"{TRACEPARENT}-more", None),
        ("canary", None),
    ],
)
async def test_without_traces_a_valid_id_of_the_client_is_passed_on(
    sent: str | None, expected: str | None
) -> None:
    heads: list[dict[str, str]] = []
    async with _engine(heads) as url, traced("", traces=False) as (served, _):
        served.gateway.serve([Served(Backend(url, "vllm"), [ServedModel(MODEL)])])
        assert await ask(served, sent, stream=False) == 200
    assert heads[0].get("traceparent") == expected


def test_state_of_a_trace_is_passed_on_with_its_id_alone() -> None:
    state = {"tracestate": "vendor=1"}
    assert trace_headers({"traceparent": TRACEPARENT, **state}) == {
        "traceparent": TRACEPARENT,
        **state,
    }
    assert trace_headers(state) == {}
    assert "tracestate" not in trace_headers(
        {"traceparent": TRACEPARENT, "tracestate": "a\r\nHost: b"}
    )


async def test_second_backend_that_is_tried_has_spans_of_its_own() -> None:
    async def dies(call: Call) -> None:
        call.die()

    async with (
        collecting() as collector,
        traced(collector.url, dies, dies, streamed) as (served, _),
    ):
        while await ask(served) != 200:
            pass
    by_trace = [span for span in collector.spans if span.name == CALL]
    failed = [span for span in by_trace if attributes_of(span).get("error.type")]
    root = collector.named(ROOT)
    assert len(failed) == len(by_trace) - 1 >= 1
    assert all(is_within(span, root) for span in by_trace)
    queued = [span for span in collector.spans if span.name == "queue"]
    assert len(queued) == len(by_trace)


async def test_prompt_that_does_not_fit_has_a_span_that_failed_and_no_call() -> None:
    async def counts(call: Call) -> None:
        await call.send(answer(orjson.dumps({"count": len(str(call.body)) // 4})))

    turns = [{"role": "user", "content": "canary " * 20_000}]
    async with (
        collecting() as collector,
        traced(collector.url, counts, engine="sglang") as (served, _),
    ):
        assert await ask(served, messages=turns) == 400
    assert attributes_of(collector.named("fit"))["error.type"] == "NotPreparedError"
    assert attributes_of(collector.named(ROOT))["error.type"] == "400"
    assert {span.name for span in collector.spans} == {"queue", "fit", ROOT}
    assert b"canary" not in collector.raw


@pytest.mark.parametrize("ratio", [0.0, 1.0])
async def test_share_of_requests_is_traced(ratio: float) -> None:
    async with (
        collecting() as collector,
        traced(collector.url, streamed, ratio=ratio) as (served, _),
    ):
        assert await ask(served, None) == 200
        assert await ask(served, TRACEPARENT[:-1] + "0") == 200
        assert await ask(served) == 200, "its client records it, so it is recorded whole"
    roots = [span for span in collector.spans if span.name == ROOT]
    assert len(roots) == (3 if ratio else 1)


async def test_no_span_holds_content_or_a_key() -> None:
    async def quotes(call: Call) -> None:
        await call.send(answer(b'{"error": {"message": "canary-prompt"}}', status=400))

    async with collecting() as collector:
        async with traced(collector.url, streamed) as (served, _):
            await ask(served)
            assert await ask(served, messages="canary-messages") == 400
            assert await ask(served, model="canary-model") == 404
        async with traced(collector.url, quotes) as (served, _):
            assert await ask(served) == 400
    assert len(collector.spans) > 8
    assert b"canary" not in collector.raw
    statuses = {attributes_of(s).get("error.type") for s in collector.spans if s.name == ROOT}
    assert statuses == {None, "400", "404"}


async def test_client_that_left_ends_its_spans_as_499() -> None:
    async def endless(call: Call) -> None:
        await call.send(STREAM, chunk(event("hi")))
        await asyncio.sleep(60)

    async with collecting() as collector, traced(collector.url, endless) as (served, _):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ask(served), 0.2)
    for name in (ROOT, CALL):
        assert attributes_of(collector.named(name))["error.type"] == "499"


@pytest.mark.parametrize("collector", ["refuses", "hangs", "is gone"])
async def test_collector_that_fails_touches_no_request_and_not_for_long_the_end(
    collector: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stoker.gateway.tracing.otlp_traces._EXPORT_S", 0.2)
    monkeypatch.setattr("stoker.gateway.tracing.otlp_traces._FLUSH_S", 0.2)
    async with collecting(status=400, hangs=collector == "hangs") as found:
        url = "http://127.0.0.1:9/v1/traces" if collector == "is gone" else found.url
        async with traced(url, streamed) as (served, _):
            for _ in range(3):
                assert await ask(served) == 200
    assert caplog.text.count("does not take traces") == 1
    assert "Traceback" not in caplog.text
    assert "opentelemetry" not in caplog.text


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ('traces = "http://127.0.0.1:4318"', TraceSettings("http://127.0.0.1:4318/v1/traces")),
        (
            'traces = "https://a.example/otlp"\ntraces_sample_ratio = 0.1',
            TraceSettings("https://a.example/otlp", 0.1),
        ),
        ("", None),
    ],
)
def test_setting_names_a_collector(
    tmp_path: Path, setting: str, expected: TraceSettings | None
) -> None:
    assert load(_file(tmp_path, setting)).traces == expected


@pytest.mark.parametrize(
    "setting",
    [
        'traces = "127.0.0.1:4318"',
        'traces = "http://ann:canary@127.0.0.1:4318"',
        'traces = ""',
        "traces_sample_ratio = 1.5",
    ],
)
def test_setting_that_means_no_collector_is_refused_with_its_line(
    tmp_path: Path, setting: str
) -> None:
    with pytest.raises(UsageError) as error:
        load(_file(tmp_path, setting))
    assert "line 2" in str(error.value)
    assert "canary" not in str(error.value)


def test_packages_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(UsageError, match=r"pip install 'stoker\[traces\]'"):
        load(_file(tmp_path, 'traces = "http://127.0.0.1:4318"'))


def test_opentelemetry_is_imported_only_where_traces_are_sent() -> None:
    """At the top of a module: what is below imports it when traces are configured."""
    texts = {path.name: path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    importing = {
        name
        for name, text in texts.items()
        if "opentelemetry" in text or "otlp_traces" in text
        for node in ast.parse(text).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and re.search(r"\b(opentelemetry|otlp_traces)\b", ast.unparse(node))
    }
    assert importing == {"otlp_traces.py"}


def _file(folder: Path, setting: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(f'[gateway]\n{setting}\n[[backend]]\nurl = "http://127.0.0.1:1"\n')
    return path


@asynccontextmanager
async def _engine(heads: list[dict[str, str]]) -> AsyncIterator[str]:
    """A server that notes the heads of the requests for answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _, _ = (await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        if "/v1/chat" in first:
            heads.append(dict(line.lower().split(": ", 1) for line in lines))
        writer.write(answer(b'{"choices": []}'))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
