"""llama.cpp's slots do in the simulation what was measured on real ones."""

from __future__ import annotations

from stoker.sizing import ArrivingRequest, Fleet, LlamaCppReplica, StepTimes, simulate
from stoker.sizing.in_flight import InFlight
from stoker.sizing.slot_engine import SlotEngine

#: 1 ms for each token that is processed.
TIMES = StepTimes(step_s=0.0, read_s=0.0, token_s=1e-3)
HEAD = 2500


def chat(session: int, tokens: int = 2000, head: int = 0, output: int = 1) -> ArrivingRequest:
    return ArrivingRequest(0.0, session, head + tokens, output, "chat", "h", head)


def read_tokens(replica: LlamaCppReplica, requests: list[ArrivingRequest]) -> list[int]:
    """Prompt tokens that are processed for each request, one after the other."""
    engine, read = SlotEngine(replica), []
    now_s = 0.0
    for request in requests:
        one = InFlight(request)
        engine.add(one)
        done: list[InFlight] = []
        while not done:
            end_s = engine.start(now_s)
            assert end_s is not None
            now_s, done = end_s, engine.finish(end_s)
        read.append(request.prompt_tokens - one.cached_tokens)
    return read


def test_two_conversations_with_a_long_head_take_turns_in_one_slot() -> None:
    replica = LlamaCppReplica(TIMES, n_slots=2, n_ctx=8192)
    turns = [chat(n, tokens=506, head=HEAD) for n in (1, 2, 1, 2)]
    assert read_tokens(replica, turns) == [3006, 506, 506, 506]


def test_each_has_its_own_slot_where_more_must_be_alike() -> None:
    replica = LlamaCppReplica(TIMES, n_slots=2, n_ctx=8192, slot_prompt_similarity=0.9)
    turns = [chat(n, tokens=506, head=HEAD) for n in (1, 2, 1, 2)]
    assert read_tokens(replica, turns) == [3006, 3006, 1, 1]


def test_the_host_cache_gives_a_conversation_back_that_lost_its_slot() -> None:
    turns = [chat(n) for n in (1, 2, 3, 4, 1)]
    without = LlamaCppReplica(TIMES, n_slots=2, n_ctx=8192)
    with_cache = LlamaCppReplica(TIMES, n_slots=2, n_ctx=8192, cache_ram_tokens=100_000)
    assert read_tokens(without, turns)[-1] == 2000
    assert read_tokens(with_cache, turns)[-1] == 1


def test_a_host_cache_that_is_full_drops_the_oldest() -> None:
    turns = [chat(n) for n in (1, 2, 3, 4, 5, 1)]
    replica = LlamaCppReplica(TIMES, n_slots=2, n_ctx=8192, cache_ram_tokens=4500)
    assert read_tokens(replica, turns)[-1] == 2000


def test_prompts_are_read_in_the_order_of_the_slots() -> None:
    engine = SlotEngine(LlamaCppReplica(TIMES, n_slots=2, n_ctx=8192, n_batch=512))
    first, second = InFlight(chat(1, 600, output=9)), InFlight(chat(2, 100, output=9))
    engine.add(first)
    engine.add(second)
    engine.start(0.0)
    assert (first.chunk, second.chunk) == (512, 0)
    engine.finish(0.512)
    engine.start(0.512)
    assert (first.chunk, second.chunk) == (88, 100)
    engine.finish(0.7)
    assert first.first_s == second.first_s == 0.7


def test_a_prompt_longer_than_a_slot_is_refused() -> None:
    replica = LlamaCppReplica(TIMES, n_slots=1, n_ctx=1000)
    result = simulate([chat(1)], Fleet([replica]), 60, warm_up_s=0)
    assert (result.requests, result.refused, result.completed) == (1, 1, 0)
