"""Each conversation keeps its slot of the engine, and none takes one that another one is in."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from tests.unit.gateway.backends import MODEL, Call, answer, front, running

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served
from stoker.gateway.prompt.engine_slots import EngineSlots, slot_user, takes_one_slot
from stoker.gateway.prompt.prompt_chain import chain_of

Body = dict[str, Any]
ANSWER = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'


def chat(client: str, *question: str) -> Body:
    """A client's conversation, whose system prompt is most of it."""
    messages = [{"role": "system", "content": f"{client}'s rules. " * 200}]
    messages += [{"role": "user", "content": each} for each in question]
    return {"messages": messages}


def ask(slots: EngineSlots, body: Body, *, is_utility: bool = False) -> int | None:
    """The slot that a request names which is answered at once."""
    with slots.held(slot_user(body, chain_of(body), is_utility=is_utility)) as number:
        return number


class Busy:
    """Requests that are not answered yet."""

    def __init__(self, slots: EngineSlots) -> None:
        self._slots = slots

    def ask(self, body: Body) -> tuple[int | None, ExitStack]:
        answered = ExitStack()
        user = slot_user(body, chain_of(body), is_utility=False)
        return answered.enter_context(self._slots.held(user)), answered


def test_an_empty_slot_is_not_named_for_it_would_not_take_from_the_host_cache() -> None:
    assert ask(EngineSlots(2), chat("ann", "hi")) is None


def test_a_conversation_stays_in_its_slot_also_when_little_of_it_is_left() -> None:
    slots = EngineSlots(2)
    ask(slots, chat("ann", "hi"))
    ask(slots, chat("bob", "hi"))
    assert ask(slots, chat("ann", "hi", "and now?")) == 1
    cut = chat("ann", "hi")
    cut["messages"][0]["content"] = cut["messages"][0]["content"][:300]
    assert ask(slots, cut) == 1


def test_a_new_conversation_takes_the_slot_whose_beginning_it_shares() -> None:
    slots = EngineSlots(3)
    ask(slots, chat("ann", "hi"))
    ask(slots, chat("bob", "hi"))
    assert ask(slots, chat("ann", "something else")) == 2


def test_one_that_comes_back_takes_the_slot_that_was_unused_longest() -> None:
    slots = EngineSlots(2)
    ask(slots, chat("ann", "hi"))
    ask(slots, chat("ann", "another"))  # in the same slot
    ask(slots, chat("bob", "hi"))
    ask(slots, chat("ann", "another"))
    assert ask(slots, chat("ann", "hi")) == 0


def test_titles_share_a_slot_and_leave_the_conversations_theirs() -> None:
    slots = EngineSlots(2)
    ask(slots, chat("ann", "hi"))
    ask(slots, chat("title", "one"), is_utility=True)
    ask(slots, chat("ann", "hi", "more"))
    assert ask(slots, chat("title", "two"), is_utility=True) == 0
    assert ask(slots, chat("ann", "hi", "more", "yet more")) == 1


def test_a_busy_slot_is_left_alone() -> None:
    slots = EngineSlots(2)
    ask(slots, chat("ann", "hi"))
    ask(slots, chat("bob", "hi"))
    named, _ = Busy(slots).ask(chat("ann", "hi", "more"))
    assert named == 1
    assert ask(slots, chat("ann", "something else")) == 0


def test_a_request_that_waits_gets_the_first_slot_that_is_given_back() -> None:
    slots = EngineSlots(1)
    ask(slots, chat("ann", "hi"))
    busy = Busy(slots)
    _, ann = busy.ask(chat("ann", "hi", "more"))
    named, bob = busy.ask(chat("bob", "hi"))
    assert named is None
    ann.close()
    assert busy.ask(chat("ann", "hi"))[0] is None  # bob has it
    bob.close()


def test_one_that_leaves_while_it_waits_gets_none() -> None:
    slots = EngineSlots(1)
    busy = Busy(slots)
    _, ann = busy.ask(chat("ann", "hi"))
    _, bob = busy.ask(chat("bob", "hi"))
    bob.close()
    ann.close()
    assert ask(slots, chat("bob", "hi")) == 0


def test_a_new_conversation_takes_the_slot_into_which_its_head_was_restored() -> None:
    slots = EngineSlots(2)
    slots.restored(0, chain_of(chat("ann")).head)
    assert ask(slots, chat("ann", "hi")) == 0


def test_nothing_is_named_where_the_slots_are_unknown() -> None:
    slots = EngineSlots(None)
    assert [ask(slots, chat("ann", "hi")) for _ in range(2)] == [None, None]


@pytest.mark.parametrize(
    ("request_", "one"),
    [
        ({"prompt": "a"}, True),
        ({"prompt": [1, 2]}, True),
        ({"messages": [], "n": 1}, True),
        ({"prompt": ["a", "b"]}, False),
        ({"prompt": [[1], [2]]}, False),
        ({"messages": [], "n": 2}, False),
    ],
)
def test_several_answers_take_several_slots(request_: Body, one: bool) -> None:
    assert takes_one_slot(request_) is one


@pytest.mark.parametrize(
    ("engine", "is_ours", "asked", "named"),
    [
        ("llama.cpp", True, {}, [None, 1]),
        ("llama.cpp", True, {"id_slot": 0}, [0, 0]),
        ("llama.cpp", True, {"n": 2}, [None, None]),
        ("llama.cpp", False, {}, [None, None]),
        ("vllm", True, {}, [None, None]),
    ],
)
async def test_a_slot_is_named_to_an_engine_that_has_them_and_no_other_clients(
    engine: str, is_ours: bool, asked: Body, named: list[int | None]
) -> None:
    bodies: list[Body] = []

    async def server(call: Call) -> None:
        if "/chat" in call.path:
            bodies.append(call.body)
        await call.send(answer(ANSWER))

    async with running(server) as (backend,):
        gateway = Gateway()
        model = ServedModel(MODEL, parallel=2)
        gateway.serve([Served(Backend(backend.url, engine), [model], is_ours=is_ours)])
        async with front(gateway) as served:
            for _ in named:
                await served.chat(**chat("ann", "hi"), **asked)
    assert [body.get("id_slot") for body in bodies] == named
