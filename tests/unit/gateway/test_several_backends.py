"""Several backends: which answers, what waits, which is left alone, what a reload changes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.unit.gateway.backends import (
    DONE,
    MODEL,
    STREAM,
    Call,
    Scripted,
    answer,
    chat_bytes,
    chunk,
    event,
    front,
    gateway_to,
    gateway_with,
    running,
    wait_for,
)
from tests.unit.gateway.test_backend_faults import (
    dies_after_3_tokens,
    dies_before_a_byte,
    error_of,
    fine,
    hangs,
)

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, GatewayTimings, Served
from stoker.gateway.health_monitor import HealthMonitor
from stoker.gateway.routing import pooled_backend
from stoker.gateway.routing.backend_pool import NoBackendError, Pool
from stoker.gateway.routing.backend_slots import BackendSlots
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.routing.session_headers import session_of, sessions_in
from stoker.gateway.routing.slot_queue import BusyError
from stoker.server.gateway_service import Service


def pooled(limit: int | None = None, window: int = 8192, port: int = 1) -> PooledBackend:
    model = ServedModel(MODEL, max_model_len=window)
    return PooledBackend(Backend(f"http://127.0.0.1:{port}", "openai"), [model], limit)


def asked(*texts: str, tools: Any = None) -> dict[str, Any]:
    return {"tools": tools, "messages": [{"role": "user", "content": text} for text in texts]}


def pool_of(*backends: PooledBackend) -> Pool:
    made = Pool()
    made.replace(backends)
    return made


def slots_of(*backends: PooledBackend, timings: GatewayTimings | None = None) -> BackendSlots:
    return BackendSlots(pool_of(*backends), timings or GatewayTimings())


async def refuses(call: Call) -> None:
    await call.send(answer(b'{"error": {"message": "loading"}}', status=503))


async def breaks(call: Call) -> None:
    await call.send(answer(b"Internal Server Error", status=500, kind="text/plain"))


@pytest.mark.parametrize("bad", [dies_before_a_byte, refuses, breaks], ids=lambda s: s.__name__)
async def test_another_backend_answers_where_one_fails_before_its_first_byte(bad: Any) -> None:
    async with gateway_with(bad, fine) as (served, (first, second)):
        for _ in range(4):
            assert (await served.chat()).status == 200
        assert len(second.calls) == 4
        assert first.calls


async def test_nothing_is_retried_after_the_first_byte() -> None:
    async with gateway_with(dies_after_3_tokens, fine) as (served, (_, second)):
        assert error_of(await served.stream())["code"] == "backend_failed"
        assert not second.calls


async def test_refusal_is_passed_on_where_no_other_backend_has_the_model() -> None:
    async with gateway_with(refuses) as (served, _):
        reply = await served.chat()
        assert (reply.status, reply.error["message"]) == (503, "loading")


async def test_backend_that_fails_thrice_is_left_alone_and_then_tried_by_one() -> None:
    now = 0.0
    endpoint = Backend("http://127.0.0.1:1", "openai")
    bad = PooledBackend(endpoint, [ServedModel(MODEL)], clock=lambda: now)
    for _ in range(pooled_backend.FAILURES):
        assert bad.usable
        bad.failed()
    assert not bad.usable
    now = pooled_backend.OPEN_S
    assert bad.usable
    tried = slots_of(bad)
    await tried.acquire(MODEL, "ann", asked("x"))
    assert not bad.has_room
    bad.succeeded()
    assert bad.has_room


async def test_conversation_goes_back_to_the_backend_that_read_it() -> None:
    one, two = pooled(port=1), pooled(port=2)
    routed = slots_of(one, two)
    tools = [{"type": "function", "function": {"name": "f"}}]
    homes = {}
    for name in "abcdefghijkl":  # at the same time, so that both get some
        homes[name] = await routed.acquire(MODEL, name, asked(name, tools=tools))
    assert {home.backend for home in homes.values()} == {one, two}
    for home in homes.values():
        routed.release(home)
    for name, home in homes.items():
        again = await routed.acquire(MODEL, name, asked(name, "more", tools=tools))
        assert again.backend is home.backend


async def test_common_beginning_does_not_pile_all_work_on_one_backend() -> None:
    one, two = pooled(port=1), pooled(port=2)
    routed = slots_of(one, two)
    for number in range(40):
        await routed.acquire(MODEL, "x", asked("the system prompt", str(number)))
    assert abs(one.in_flight - two.in_flight) <= 5


async def test_a_common_head_alone_brings_no_conversation_to_a_busy_backend() -> None:
    one, two = pooled(port=1), pooled(port=2)
    routed = slots_of(one, two)
    head = [{"role": "system", "content": "You are an agent."}]

    def turn(text: str) -> dict[str, Any]:
        return {"tools": ["f"], "messages": [*head, {"role": "user", "content": text}]}

    first = await routed.acquire(MODEL, "ann", turn("a"))
    beside = await routed.acquire(MODEL, "ann", turn("b"))
    assert beside.backend is not first.backend
    routed.release(first)
    routed.release(beside)
    third = await routed.acquire(MODEL, "ann", turn("a"))
    assert third.backend is first.backend


async def test_session_stays_at_its_backend_when_its_beginning_has_changed() -> None:
    one, two = pooled(port=1), pooled(port=2)
    routed = slots_of(one, two)
    first = await routed.acquire(MODEL, "ann", asked("talk", tools=["a"]), session="s1")
    other = await routed.acquire(MODEL, "ann", asked("talk", tools=["b"]), session="s2")
    assert first.backend is not other.backend
    for number in range(3):  # compacted, so that no part of the prompt is the same
        text = asked(f"a summary {number}", tools=[number])
        slot = await routed.acquire(MODEL, "ann", text, session="s1")
        assert slot.backend is first.backend
    foreign = await routed.acquire(MODEL, "bob", asked("talk", tools=["c"]), session="s1")
    assert foreign.backend is other.backend  # it has less to do


@pytest.mark.parametrize(
    ("headers", "body", "session"),
    [
        ({"session-id": "s-1"}, {"prompt_cache_key": "s-2"}, "s-1"),
        ({}, {"prompt_cache_key": "s-2"}, "s-2"),
        ({}, {"prompt_cache_key": 5}, None),
    ],
    ids=["header", "key", "neither"],
)
def test_a_session_is_named_by_a_header_or_by_the_key_of_a_cache(
    headers: dict[str, str], body: dict[str, Any], session: str | None
) -> None:
    assert session_of(sessions_in(headers), body) == session


async def test_headers_of_a_session_are_sent_on_and_no_others() -> None:
    sent = {
        "X-Session-Id": "s-1",
        "session_id": "s-2",
        "x-claude-code-session-id": "two words",
        "x-user-id": "u",
        "Cookie": "c",
    }
    head = await head_of_a_chat(sent)
    assert {"x-session-id", "session_id"} <= set(head)
    assert not {"x-claude-code-session-id", "x-user-id", "cookie"} & set(head)


async def head_of_a_chat(
    sent: dict[str, str] | None = None, engine: str = "openai", **fields: Any
) -> dict[str, str]:
    """The headers that a backend gets from a gateway that has just started."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer(b'{"choices": []}'))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with gateway_to(f"http://127.0.0.1:{port}", engine=engine) as door:
        await door.post(chat_bytes(**fields).partition(b"\r\n\r\n")[2], headers=sent or {})
    server.close()
    (chat,) = (head for head in heads if head.startswith("POST /v1/chat/completions "))
    lines = [line.partition(": ") for line in chat.split("\r\n")[1:] if line]
    return {name.lower(): value for name, _, value in lines}


async def test_router_of_engines_learns_the_conversation() -> None:
    """Any gateway gives it the same name, however far it has come and wherever it goes."""

    async def session(*texts: str, **headers: str) -> str | None:
        turns = [{"role": "user", "content": text} for text in texts]
        head = await head_of_a_chat(headers, "vllm", messages=turns)
        return head.get("x-session-id")

    first = await session("Mend a.py.")
    assert first == await session("Mend a.py.", "And b.py.")
    assert first != await session("Mend b.py.")
    assert await session("x" * 1200 + "a") != await session("x" * 1200 + "b")
    assert await session("Mend a.py.", session_id="s-1") == "s-1"
    assert "x-session-id" not in await head_of_a_chat()


async def test_memory_of_prefixes_is_bounded() -> None:
    one = pooled()
    one.remember(range(100_000))
    assert len(one._prefixes) == 8192
    assert one.shared_prefix([99_999]) == 1


async def test_clients_are_served_in_turn() -> None:
    only = pooled(limit=1)
    fair = slots_of(only)
    held = [await fair.acquire(MODEL, "ann", asked("x"))]
    order: list[str] = []

    async def wait(client: str) -> None:
        held.append(await fair.acquire(MODEL, client, asked("x")))
        order.append(client)

    tasks = [asyncio.create_task(wait(client)) for client in ["ann"] * 4 + ["bob", "cid"]]
    await asyncio.sleep(0)
    for _ in tasks:
        fair.release(held.pop())
        await asyncio.sleep(0.001)
    assert order == ["ann", "bob", "cid", "ann", "ann", "ann"]
    await asyncio.gather(*tasks)


async def test_full_queue_refuses_the_client_with_the_most_in_it() -> None:
    full = slots_of(pooled(limit=1), timings=GatewayTimings(max_waiting=3))
    await full.acquire(MODEL, "ann", asked("x"))
    greedy = [asyncio.create_task(full.acquire(MODEL, "ann", asked("x"))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await full.acquire(MODEL, "ann", asked("x"))
    late = asyncio.create_task(full.acquire(MODEL, "bob", asked("x")))
    await asyncio.sleep(0.001)
    assert [task.done() for task in greedy] == [False, False, True]
    assert not late.done()
    assert full.waiting == 3
    for task in (*greedy, late):
        task.cancel()
    await asyncio.gather(*greedy, late, return_exceptions=True)
    assert full.waiting == 0


async def test_place_that_comes_in_the_moment_of_leaving_is_given_back() -> None:
    only = pooled(limit=1)
    place = slots_of(only)
    taken = await place.acquire(MODEL, "ann", asked("x"))
    leaving = asyncio.create_task(place.acquire(MODEL, "bob", asked("x")))
    await asyncio.sleep(0)
    place.release(taken)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert only.in_flight == 0


async def test_request_that_waits_too_long_is_refused_with_a_time_to_come_back() -> None:
    timings = GatewayTimings(max_wait_s=0.1)
    async with gateway_with(hangs, max_concurrent=1, timings=timings) as (served, (backend,)):
        _, writer = await served.connect()
        writer.write(chat_bytes())
        await wait_for(lambda: bool(backend.calls))
        reply = await served.chat()
        assert (reply.status, reply.error["code"]) == (429, "busy")
        assert int(reply.headers["Retry-After"]) > 0
        writer.transport.abort()


async def test_model_of_two_backends_has_the_smaller_window() -> None:
    both = pool_of(pooled(window=32768), pooled(window=4096))
    assert both.models()[MODEL].max_model_len == 4096


async def test_no_backend_of_a_model_is_an_error() -> None:
    with pytest.raises(NoBackendError):
        await slots_of(pooled()).acquire("other", "ann", asked("x"))


async def test_connections_of_a_backend_that_left_are_closed_after_use() -> None:
    go_on = asyncio.Event()

    async def slow(call: Call) -> None:
        await call.send(STREAM, chunk(event("a")))
        await go_on.wait()
        await call.send(chunk(event("b")), chunk(DONE), b"0\r\n\r\n")

    async with gateway_with(slow) as (served, (backend,)):
        streaming = asyncio.create_task(served.stream())
        await wait_for(lambda: bool(backend.calls))
        served.gateway.serve([])
        go_on.set()
        assert await streaming == event("a") + event("b") + DONE
        await asyncio.wait_for(backend.left.wait(), 10)


async def test_backend_that_goes_and_comes_back_with_another_model_is_noticed() -> None:
    async with running(fine) as (backend,), aiohttp.ClientSession() as http:
        gateway = Gateway()
        gateway.serve([Served(Backend(backend.url, ""), ())])
        watching = HealthMonitor(gateway)
        async with front(gateway) as served:
            assert (await served.chat()).status == 503
            await watching.check(http)
            assert (await served.chat()).status == 200
            await backend.kill()
            for _ in range(3):  # the first one may have been missed: it has answered since
                await watching.check(http)
            assert not gateway.pool.serving(MODEL)
            async with served.http.get(served.url + "/ready") as response:
                assert response.status == 503
            backend.model = "newer"
            await backend.start()
            await watching.check(http)
            assert list(gateway.pool.models()) == ["newer"]
            assert (await served.chat(model="newer")).status == 200


async def test_backend_that_is_too_busy_for_checks_is_up_while_it_answers_requests() -> None:
    async with running(fine) as (backend,), aiohttp.ClientSession() as http:
        gateway = Gateway()
        gateway.serve([Served(Backend(backend.url, ""), ())])
        watching = HealthMonitor(gateway)
        async with front(gateway) as served:
            await watching.check(http)
            backend.misses_checks = True
            for _ in range(4):
                assert (await served.chat()).status == 200
                await watching.check(http)
            for _ in range(2):
                await watching.check(http)
            assert (await served.chat()).status == 503


async def test_waiting_requests_are_served_when_their_backend_is_well_again() -> None:
    sick = pooled()
    waited = slots_of(sick)
    sick._failures = pooled_backend.FAILURES
    await waited.acquire(MODEL, "ann", asked("x"))
    waiting = asyncio.create_task(waited.acquire(MODEL, "bob", asked("x")))
    await asyncio.sleep(0)
    sick.succeeded()
    waited.wake()
    assert (await asyncio.wait_for(waiting, 10)).backend is sick


def config_of(*backends: Scripted, more: str = "") -> str:
    sections = "".join(f'[[backend]]\nurl = "{b.url}"\n{more}' for b in backends)
    return f"[gateway]\nport = 0\nhealth_check_s = 0.2\n{sections}"


@pytest.mark.usefixtures("home")
async def test_reload_changes_backends_without_dropping_a_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = asyncio.Event()

    async def slow(call: Call) -> None:
        await call.send(STREAM, chunk(event("old")))
        await go_on.wait()
        await call.send(chunk(DONE), b"0\r\n\r\n")

    async with running(slow, fine) as (old, new), aiohttp.ClientSession() as http:
        path = tmp_path / "gateway.toml"
        path.write_text(config_of(old), encoding="utf-8")
        service = Service(path, GatewayTimings(config_poll_s=0.05))
        run, gateway = service.run(), service.gateway
        url = await asyncio.wait_for(anext(run), 5)
        going_on = asyncio.create_task(anext(run, None))
        chat = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
        async with http.post(url + "/v1/chat/completions", json=chat) as response:
            assert await response.content.readline() == event("old").splitlines(True)[0]
            path.write_text(config_of(old) + "oops", encoding="utf-8")
            await wait_for(lambda: "was not reloaded" in caplog.text)
            assert gateway.pool.backends[0].endpoint.url == old.url
            path.write_text(config_of(new), encoding="utf-8")
            await wait_for(lambda: gateway.pool.backends[0].endpoint.url == new.url)
            await wait_for(lambda: bool(gateway.pool.serving(MODEL)))
            async with http.post(url + "/v1/chat/completions", json=chat) as other:
                assert b"Hel" in await other.read()
            go_on.set()
            assert (await response.read()).endswith(DONE)
        kept = gateway.pool.backends[0]
        path.write_text(config_of(new, more="max_concurrent = 3\n"), encoding="utf-8")
        os.kill(os.getpid(), 1)  # SIGHUP
        await wait_for(lambda: kept.max_concurrent == 3)
        assert gateway.pool.backends == [kept]
        os.kill(os.getpid(), 15)
        assert await asyncio.wait_for(going_on, 5) is None


@pytest.mark.usefixtures("home")
async def test_gateway_does_not_listen_where_another_process_does(tmp_path: Path) -> None:
    async with gateway_to("http://127.0.0.1:9") as served:
        path = tmp_path / "gateway.toml"
        text = f'[gateway]\nport = {served.port}\n[[backend]]\nurl = "http://127.0.0.1:9"\n'
        path.write_text(text, encoding="utf-8")
        with pytest.raises(Exception, match="can't listen on"):
            await anext(Service(path).run())


async def test_conversation_is_remembered_where_it_had_no_choice() -> None:
    one, two = pooled(limit=1, port=1), pooled(limit=1, port=2)
    routed = slots_of(one, two)
    first = await routed.acquire(MODEL, "bob", asked("other"))
    second = await routed.acquire(MODEL, "ann", asked("first"))  # the only one with room
    assert (first.backend, second.backend) == (one, two)
    waiting = asyncio.create_task(routed.acquire(MODEL, "cid", asked("waited")))
    await asyncio.sleep(0)
    routed.release(second)
    third = await waiting
    assert third.backend is two
    routed.release(first)
    routed.release(third)
    for question in ("first", "waited"):
        again = await routed.acquire(MODEL, "ann", asked(question, "more"))
        assert again.backend is two
        routed.release(again)


async def test_lone_backend_costs_no_memory_of_prefixes() -> None:
    only = pooled()
    await slots_of(only).acquire(MODEL, "ann", asked("x"))
    assert not only._prefixes
