"""What an engine has read is known from what was sent, and corrected by what it reports."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import MODEL, Call, answer, front, running

from stoker.engines import Backend, ServedModel
from stoker.gateway import FitSettings, Gateway, Served
from stoker.gateway.prompt import prompt_chain
from stoker.gateway.prompt.cache_ledger import CacheLedger, Prefill
from stoker.gateway.prompt.prompt_chain import PromptChain, chain_of
from stoker.recent_values import RecentValues

#: A thousand tokens, where a token is ten bytes.
TEXT = "".join(f"line {number:04}\n" for number in range(1000))


def chain(*question: str, tools: list[Any] | None = None) -> PromptChain:
    messages = [{"role": "system", "content": TEXT}]
    messages += [{"role": "user", "content": text} for text in question]
    return chain_of({"messages": messages, "tools": tools or []})


def size(of: PromptChain) -> int:
    """Its tokens, where a token is ten bytes."""
    return of.size_bytes // 10


def test_a_prompt_of_a_new_engine_is_in_no_cache() -> None:
    assert CacheLedger(1).cached_tokens(chain("hello")) == 0


def test_a_growing_conversation_is_in_the_cache_up_to_what_was_added() -> None:
    ledger, first, second = CacheLedger(1), chain("hello"), chain("hello", TEXT)
    began = ledger.note(first, size(first), None)
    assert began == Prefill(size(first), 0, 0)
    assert ledger.cached_tokens(second) == size(first)
    went_on = ledger.note(second, size(second), None)
    assert went_on.cached_tokens == size(first)
    assert began.read_tokens + went_on.read_tokens == size(second)


def test_a_chain_that_goes_on_is_the_one_that_is_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    question = [TEXT[:size] for size in (1, 256, 257, 6000, 1)] * 9  # in small and large blocks
    tools = [{"name": "read"}, {"name": "write"}]
    for count in range(len(question)):
        went_on = chain(*question[: count + 1], tools=tools)
    monkeypatch.setattr(prompt_chain, "_KNOWN", RecentValues(1))
    assert chain(*question, tools=tools) == went_on


def test_another_conversation_shares_the_head_and_both_stay() -> None:
    ledger, one, other = CacheLedger(2), chain("one" * 999), chain("other" * 999)
    ledger.note(one, size(one), 0)
    assert size(chain()) * 0.97 < ledger.cached_tokens(other) < size(chain()) * 1.03
    ledger.note(other, size(other), None)
    assert ledger.cached_tokens(one) == size(one)


def test_tools_that_changed_are_read_again_with_all_that_follows() -> None:
    ledger = CacheLedger(1)
    before, after = (chain(TEXT, tools=[{"name": name}]) for name in ("read", "write"))
    ledger.note(before, size(before), 0)
    assert ledger.cached_tokens(after) < size(before) * 0.52


def test_an_engine_that_reports_less_has_lost_it_and_reads_it_in_vain() -> None:
    ledger, prompt = CacheLedger(1), chain(TEXT)
    ledger.note(prompt, 2000, 0)
    other = chain(TEXT + "more")
    noted = ledger.note(other, 2001, 500)
    assert (noted.read_tokens, noted.cached_tokens) == (1501, 500)
    assert 1400 < noted.wasted_tokens <= 1501
    assert ledger.cached_tokens(prompt) >= 1900  # it was read again just now


def test_what_an_engine_lost_is_no_longer_expected_of_other_prompts() -> None:
    ledger = CacheLedger(8)
    long, short = chain(TEXT, "a" * 3000), chain("b" * 3000)
    ledger.note(long, size(long), 0)
    ledger.note(short, size(short), 0)  # it was started anew
    head = size(chain())
    assert ledger.cached_tokens(long) <= head * 1.05
    assert ledger.note(long, size(long), head).wasted_tokens > 1000


def test_what_will_be_read_again_is_known_before_the_answer() -> None:
    ledger, long, short = CacheLedger(8), chain(TEXT, "a" * 3000), chain("b" * 3000)
    ledger.note(long, size(long), 0)
    ledger.note(short, size(short), 0)  # it was started anew: only the head is there again
    expected = ledger.expected(long, size(long))
    assert expected.cached_tokens + expected.read_tokens == size(long)
    assert expected.wasted_tokens > 1000
    assert ledger.expected(long, size(long)) == expected  # to ask changes nothing
    new = ledger.expected(chain("c" * 3000), size(short))
    assert (new.wasted_tokens, new.cached_tokens > 900) == (0, True)


def test_a_block_more_or_less_is_not_called_a_waste() -> None:
    ledger, prompt = CacheLedger(1), chain(TEXT)
    ledger.note(prompt, 2000, 0)
    assert ledger.note(prompt, 2000, 1999 - 32).wasted_tokens == 0


@pytest.mark.parametrize("reported", [10**9, 2001])
def test_no_more_than_the_prompt_is_cached(reported: int) -> None:
    assert CacheLedger(1).note(chain(), 2000, reported) == Prefill(0, 2000, 0)


def test_prompts_are_forgotten_oldest_first() -> None:
    ledger = CacheLedger(None)
    prompts = [chain(f"{number} " * 1000) for number in range(9)]
    for prompt in prompts:
        ledger.note(prompt, size(prompt), None)
    assert ledger.cached_tokens(prompts[0]) < size(prompts[0])
    assert ledger.cached_tokens(prompts[1]) == size(prompts[1])


def test_nothing_of_a_prompt_can_be_read_from_its_chain() -> None:
    kept = repr(chain("a secret question", tools=[{"name": "secret_tool"}]))
    assert "secret" not in kept
    assert "line" not in kept


def test_a_long_prompt_is_hashed_in_few_blocks_and_a_huge_one_up_to_a_bound() -> None:
    assert len(chain(*[TEXT] * 70).links) < 1300
    assert len(chain(*[TEXT] * 700).links) == 4096


def test_requests_without_a_prompt_have_no_chain() -> None:
    assert chain_of({"input": "text"}).links == ()
    assert chain_of({"prompt": "text"}).links != chain_of({"prompt": "texts"}).links


class Reporting:
    """A server that reports what it is told to report of each prompt, and how fast it read it."""

    def __init__(self, *prompts: tuple[int, int]) -> None:
        self.prompts = list(prompts)

    async def __call__(self, call: Call) -> None:
        prompt_tokens, cached = self.prompts.pop(0)
        message = {"role": "assistant", "content": "hi"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        details = {"cached_tokens": cached}
        usage = {"prompt_tokens": prompt_tokens, "prompt_tokens_details": details}
        timings = {"prompt_n": prompt_tokens - cached, "prompt_per_second": 100.0}
        await call.send(
            answer(orjson.dumps({"choices": [choice], "usage": usage, "timings": timings}))
        )


async def test_clients_and_metrics_get_what_was_read_and_what_was_in_the_cache() -> None:
    async with running(Reporting((1000, 0), (2000, 1000), (2000, 0))) as (backend,):
        gateway = Gateway()
        models = [ServedModel(MODEL, max_model_len=100_000, tools="native")]
        gateway.serve([Served(Backend(backend.url, "sglang"), models, FitSettings())])
        async with front(gateway) as door:
            first = await door.chat(messages=[{"role": "user", "content": TEXT}])
            assert "cached" not in first.headers.get("x-stoker-fit", "")
            turns = [{"role": "user", "content": TEXT}, {"role": "user", "content": TEXT}]
            for _ in range(2):
                reply = await door.chat(messages=turns)
                assert reply.status == 200
            assert reply.headers["x-stoker-fit"] == "cached=2000"
            metrics = await door.metrics()
    counted = f'stoker_prefill_tokens_total{{kind="%s",model="{MODEL}"}} %s'
    assert counted % ("read", "4000.0") in metrics
    assert counted % ("cached", "1000.0") in metrics
    assert counted % ("wasted", "2000.0") in metrics
    assert f'stoker_prefill_saved_seconds_total{{model="{MODEL}"}} 10.0' in metrics
